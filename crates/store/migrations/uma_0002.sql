-- RPTs that resource servers may check offline, by the hour of their end
CREATE TABLE signed_rpt (hour BIGINT, owner TEXT, resource_server TEXT, jti TEXT, expires BIGINT NOT NULL,
  PRIMARY KEY (hour, owner, resource_server, jti)) WITHOUT ROWID;
