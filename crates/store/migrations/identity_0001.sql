-- Accounts, clients, sessions, consents, tokens and keys.
CREATE TABLE account (id TEXT PRIMARY KEY, username TEXT NOT NULL, email TEXT, body BLOB NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX account_by_username ON account (username);
CREATE UNIQUE INDEX account_by_email ON account (email);

CREATE TABLE client (id TEXT PRIMARY KEY, resource TEXT, body BLOB NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX client_by_resource ON client (resource);

CREATE TABLE session (id TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE consent (id TEXT PRIMARY KEY, account TEXT NOT NULL, client TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX consent_by_account ON consent (account, client);
CREATE INDEX consent_by_client ON consent (client);

CREATE TABLE code (shard BIGINT, bucket BIGINT, hash BLOB, expires BIGINT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (shard, bucket, hash)) WITHOUT ROWID;

CREATE TABLE pushed_request (id TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE access_token (shard BIGINT, bucket BIGINT, hash BLOB, family TEXT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (shard, bucket, hash)) WITHOUT ROWID;
CREATE INDEX access_token_by_family ON access_token (family);

CREATE TABLE refresh_token (shard BIGINT, bucket BIGINT, hash BLOB, family TEXT NOT NULL, version BIGINT NOT NULL, expires BIGINT NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY (shard, bucket, hash)) WITHOUT ROWID;
CREATE INDEX refresh_token_by_family ON refresh_token (family);

CREATE TABLE spent (hour BIGINT, kind TEXT, issuer TEXT, id TEXT, PRIMARY KEY (hour, kind, issuer, id)) WITHOUT ROWID;

CREATE TABLE signing_key (kid TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE secret (name TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE served (name TEXT PRIMARY KEY, time BIGINT NOT NULL) WITHOUT ROWID;
