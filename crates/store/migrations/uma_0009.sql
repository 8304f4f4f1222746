-- what runs out is found without a walk
CREATE INDEX session_by_end ON session (expires);
CREATE INDEX pushed_request_by_end ON pushed_request (expires);
CREATE INDEX secret_by_end ON secret (expires);
CREATE INDEX process_by_end ON process (expires);
CREATE INDEX kept_proof_by_end ON kept_proof (expires);
CREATE INDEX delegation_by_end ON delegation (expires);
