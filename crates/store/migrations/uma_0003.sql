-- credentials are found by what tokens name as their issuer, too: server-level requests name that alone
ALTER TABLE resource_owner_credential RENAME TO old_credential;
CREATE TABLE resource_owner_credential (owner TEXT, id TEXT, subject TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (owner, id)) WITHOUT ROWID;
INSERT INTO resource_owner_credential SELECT owner, id, json_extract(CAST(body AS TEXT), '$.subject'), body FROM old_credential;
DROP TABLE old_credential;
CREATE INDEX credential_by_subject ON resource_owner_credential (subject);

-- searches for owners at resource servers that log nobody in
CREATE TABLE discovery_search (id TEXT PRIMARY KEY, owner TEXT NOT NULL, due BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX search_by_owner ON discovery_search (owner);
CREATE INDEX search_by_due ON discovery_search (due);
