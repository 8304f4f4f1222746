-- what was signed, by whose key it was: whoever withdraws a key finds all of it, whosever lists are how long
CREATE TABLE signed_policy (signer TEXT, owner TEXT, policy TEXT, PRIMARY KEY (signer, owner, policy)) WITHOUT ROWID;
CREATE INDEX signed_policy_by_policy ON signed_policy (policy);
INSERT INTO signed_policy SELECT json_extract(CAST(body AS TEXT), '$.authority.credential'), owner, id FROM policy
  WHERE json_extract(CAST(body AS TEXT), '$.authority.credential') IS NOT NULL;
-- delegations that stand are found without those that were withdrawn
DROP INDEX delegation_by_delegate;
CREATE INDEX delegation_by_name ON delegation (delegate, stands);
CREATE INDEX delegation_by_owner ON delegation (owner, stands);
-- what others share is listed once there is something of it
DELETE FROM shared_with WHERE policy IN (SELECT id FROM policy WHERE resource IS NULL);
