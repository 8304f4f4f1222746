-- RPTs that resource servers may check offline, by the hour of their end
CREATE TABLE signed_rpt (hour BIGINT, owner TEXT, resource_server TEXT, jti TEXT, expires BIGINT NOT NULL,
  PRIMARY KEY (hour, owner, resource_server, jti)) WITHOUT ROWID;

-- places in an owner's sealed chain, by the number of the first: ids of 16 bytes each, in order
CREATE TABLE event_seal (owner TEXT, n BIGINT, ids BLOB NOT NULL, PRIMARY KEY (owner, n)) WITHOUT ROWID;
INSERT INTO event_seal SELECT owner, 1, unhex(group_concat(id, '' ORDER BY n)) FROM event WHERE n IS NOT NULL GROUP BY owner;
ALTER TABLE event DROP COLUMN n;
ALTER TABLE event DROP COLUMN hash;

-- as in identity_0002
ALTER TABLE rpt RENAME TO old_rpt;
DROP INDEX rpt_by_family;
CREATE TABLE rpt (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, family TEXT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL);
INSERT INTO rpt SELECT (bucket << 51) | ((((instr('0123456789ABCDEF', substr(hex(hash), 1, 1)) - 1) << 48)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 2, 1)) - 1) << 44)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 3, 1)) - 1) << 40)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 4, 1)) - 1) << 36)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 5, 1)) - 1) << 32)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 6, 1)) - 1) << 28)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 7, 1)) - 1) << 24)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 8, 1)) - 1) << 20)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 9, 1)) - 1) << 16)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 10, 1)) - 1) << 12)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 11, 1)) - 1) << 8)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 12, 1)) - 1) << 4)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 13, 1)) - 1) << 0)) >> 1),
  hash, family, expires, body FROM old_rpt;
CREATE INDEX rpt_by_family ON rpt (family);
DROP TABLE old_rpt;

ALTER TABLE pct RENAME TO old_pct;
CREATE TABLE pct (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL);
INSERT INTO pct SELECT (bucket << 51) | ((((instr('0123456789ABCDEF', substr(hex(hash), 1, 1)) - 1) << 48)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 2, 1)) - 1) << 44)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 3, 1)) - 1) << 40)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 4, 1)) - 1) << 36)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 5, 1)) - 1) << 32)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 6, 1)) - 1) << 28)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 7, 1)) - 1) << 24)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 8, 1)) - 1) << 20)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 9, 1)) - 1) << 16)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 10, 1)) - 1) << 12)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 11, 1)) - 1) << 8)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 12, 1)) - 1) << 4)
  + ((instr('0123456789ABCDEF', substr(hex(hash), 13, 1)) - 1) << 0)) >> 1),
  hash, expires, body FROM old_pct;
DROP TABLE old_pct;

-- a resource by its server's own id, without a walk
ALTER TABLE resource RENAME TO old_resource;
DROP INDEX resource_by_server;
DROP INDEX resource_by_owner;
CREATE TABLE resource (id TEXT PRIMARY KEY, owner TEXT NOT NULL, resource_server TEXT NOT NULL, own_id TEXT, version BIGINT NOT NULL,
  body BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO resource SELECT id, owner, resource_server, json_extract(CAST(body AS TEXT), '$.description._resource_id'), version, body
  FROM old_resource;
DROP TABLE old_resource;
CREATE INDEX resource_by_server ON resource (owner, resource_server);
CREATE INDEX resource_by_owner ON resource (owner);
CREATE INDEX resource_by_own_id ON resource (owner, resource_server, own_id);

-- when time alone changes a request next
ALTER TABLE access_request RENAME TO old_access_request;
DROP INDEX access_request_by_owner;
DROP INDEX access_request_by_asking;
CREATE TABLE access_request (id TEXT PRIMARY KEY, owner TEXT NOT NULL, asking TEXT NOT NULL, due BIGINT NOT NULL,
  version BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO access_request SELECT id, owner, asking, expires, version, body FROM old_access_request;
DROP TABLE old_access_request;
CREATE INDEX access_request_by_owner ON access_request (owner);
CREATE INDEX access_request_by_asking ON access_request (asking);
CREATE INDEX access_request_by_due ON access_request (due);

-- addresses that policies name, for those who ask what is shared with them
CREATE TABLE shared_with (address TEXT, policy TEXT, PRIMARY KEY (address, policy)) WITHOUT ROWID;
CREATE INDEX shared_with_by_policy ON shared_with (policy);
INSERT OR IGNORE INTO shared_with SELECT lower(v.value), p.id
  FROM policy p, json_each(CAST(p.body AS TEXT), '$.conditions') c, json_each(c.value, '$.value') v
  WHERE json_extract(c.value, '$.name') = 'email' AND v.type = 'text';

CREATE TABLE resource_owner_credential (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
