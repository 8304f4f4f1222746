-- RPTs that resource servers may check offline, by the hour of their end
CREATE TABLE signed_rpt (hour BIGINT, owner TEXT, resource_server TEXT, jti TEXT, expires BIGINT NOT NULL,
  PRIMARY KEY (hour, owner, resource_server, jti)) WITHOUT ROWID;

-- places in an owner's sealed chain, by the number of the first: ids of 16 bytes each, in order
CREATE TABLE event_seal (owner TEXT, n BIGINT, ids BLOB NOT NULL, PRIMARY KEY (owner, n)) WITHOUT ROWID;
INSERT INTO event_seal SELECT owner, 1, unhex(group_concat(id, '' ORDER BY n)) FROM event WHERE n IS NOT NULL GROUP BY owner;
ALTER TABLE event DROP COLUMN n;
ALTER TABLE event DROP COLUMN hash;
