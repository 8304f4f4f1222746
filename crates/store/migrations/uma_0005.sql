-- how often somebody asked an owner: what the limits of her inbox rest on
CREATE TABLE inbox (owner TEXT PRIMARY KEY, version BIGINT NOT NULL) WITHOUT ROWID;
-- what waits for an owner, found without what she has answered
CREATE INDEX access_request_by_waiting ON access_request (owner, due);
-- a PCT is sealed for its own row from now on: clients gather those of before once more
DELETE FROM pct;
