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
