-- what owners let others decide for them
CREATE TABLE delegation (owner TEXT, id TEXT, delegate TEXT NOT NULL, stands BIGINT NOT NULL, expires BIGINT NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
CREATE INDEX delegation_by_delegate ON delegation (delegate);

-- consent receipts
CREATE TABLE consent_receipt (owner TEXT, id TEXT, subject TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
CREATE INDEX receipt_by_subject ON consent_receipt (owner, subject);

-- managers that owners linked
CREATE TABLE linked_manager (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
