-- Other ways to log in than a password: passkeys, and accounts at other providers.
CREATE TABLE passkey (id TEXT PRIMARY KEY, account TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX passkey_by_account ON passkey (account);
CREATE TABLE linked_log_in (name TEXT PRIMARY KEY, account TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX linked_log_in_by_account ON linked_log_in (account);
