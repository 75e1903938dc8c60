-- What was acknowledged to whom (XEP-0198 §4, §5), so that a client whose session is over still learns what arrived.
-- The id itself is the client's secret; only its hash is kept.
CREATE TABLE sm_session (
    id_hash TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    handled BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX sm_session_account ON sm_session (account, seen_at);
