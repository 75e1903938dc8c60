-- When an account was last seen to leave, and with which words (XEP-0012 §3).
CREATE TABLE last_activity (
    account TEXT PRIMARY KEY,
    left_at BIGINT NOT NULL,
    status TEXT NOT NULL
);
