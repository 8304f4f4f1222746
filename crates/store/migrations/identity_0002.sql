-- Tokens are found by a number: the day of their end, then 51 bits of their hash (docs/decisions/0003).
ALTER TABLE code RENAME TO old_code;
CREATE TABLE code (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL);
INSERT INTO code SELECT (bucket << 51) | ((((instr('0123456789ABCDEF', substr(hex(hash), 1, 1)) - 1) << 48)
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
  hash, expires, body FROM old_code;
DROP TABLE old_code;

ALTER TABLE access_token RENAME TO old_access_token;
DROP INDEX access_token_by_family;
CREATE TABLE access_token (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, family TEXT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL);
INSERT INTO access_token SELECT (bucket << 51) | ((((instr('0123456789ABCDEF', substr(hex(hash), 1, 1)) - 1) << 48)
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
  hash, family, expires, body FROM old_access_token;
CREATE INDEX access_token_by_family ON access_token (family);
DROP TABLE old_access_token;

ALTER TABLE refresh_token RENAME TO old_refresh_token;
DROP INDEX refresh_token_by_family;
CREATE TABLE refresh_token (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, family TEXT NOT NULL, version BIGINT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL);
INSERT INTO refresh_token SELECT (bucket << 51) | ((((instr('0123456789ABCDEF', substr(hex(hash), 1, 1)) - 1) << 48)
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
  hash, family, version, expires, body FROM old_refresh_token;
CREATE INDEX refresh_token_by_family ON refresh_token (family);
DROP TABLE old_refresh_token;

-- when a registered client was last used, to the day
CREATE TABLE client_use (id TEXT PRIMARY KEY, time BIGINT NOT NULL) WITHOUT ROWID;
