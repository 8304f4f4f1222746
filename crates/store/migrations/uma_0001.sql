-- Resources, policies, RPTs, access requests and events.
CREATE TABLE resource (id TEXT PRIMARY KEY, owner TEXT NOT NULL, resource_server TEXT NOT NULL, version BIGINT NOT NULL, body BLOB NOT NULL)
  WITHOUT ROWID;
CREATE INDEX resource_by_server ON resource (owner, resource_server);
CREATE INDEX resource_by_owner ON resource (owner);

CREATE TABLE policy (id TEXT PRIMARY KEY, owner TEXT NOT NULL, resource TEXT, waiting_for TEXT, version BIGINT NOT NULL,
  uses BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX policy_by_owner ON policy (owner);
CREATE INDEX policy_by_resource ON policy (resource);
CREATE INDEX policy_by_waiting ON policy (waiting_for) WHERE waiting_for IS NOT NULL;

CREATE TABLE link (owner TEXT, resource_server TEXT, version BIGINT NOT NULL, PRIMARY KEY (owner, resource_server)) WITHOUT ROWID;

CREATE TABLE rpt (shard BIGINT, bucket BIGINT, hash BLOB, family TEXT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (shard, bucket, hash)) WITHOUT ROWID;
CREATE INDEX rpt_by_family ON rpt (family);

CREATE TABLE pct (shard BIGINT, bucket BIGINT, hash BLOB, expires BIGINT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (shard, bucket, hash)) WITHOUT ROWID;

CREATE TABLE process (id BLOB PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE access_request (id TEXT PRIMARY KEY, owner TEXT NOT NULL, asking TEXT NOT NULL, expires BIGINT NOT NULL,
  version BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX access_request_by_owner ON access_request (owner);
CREATE INDEX access_request_by_asking ON access_request (asking);

-- n and hash are the event's place in the owner's sealed chain; null until the sealer has been there
CREATE TABLE event (owner TEXT, id TEXT, n BIGINT, hash BLOB, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
CREATE TABLE event_head (owner TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE owner_settings (owner TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
