-- A consent names its resource (docs/decisions/0016); those that there are cover none.
ALTER TABLE consent RENAME TO old_consent;
DROP INDEX consent_by_account;
DROP INDEX consent_by_client;
CREATE TABLE consent (id TEXT PRIMARY KEY, account TEXT NOT NULL, client TEXT NOT NULL, resource TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO consent SELECT id, account, client, '', body FROM old_consent;
DROP TABLE old_consent;
CREATE UNIQUE INDEX consent_by_account ON consent (account, client, resource);
CREATE INDEX consent_by_client ON consent (client);
