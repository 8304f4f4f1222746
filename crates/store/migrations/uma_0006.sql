-- addresses that were proved in a browser, for an hour; sealed
CREATE TABLE kept_proof (id TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
