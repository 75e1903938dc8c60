-- Whom accounts have written to: one row for each account and peer. peer: a tag made with the account's key.
CREATE TABLE strangers_written (
    account TEXT NOT NULL,
    peer BIGINT NOT NULL,
    written_at BIGINT NOT NULL,
    PRIMARY KEY (account, peer)
);
CREATE INDEX strangers_written_by_time ON strangers_written (account, written_at);

-- Domains elsewhere where somebody of this server knows somebody.
CREATE TABLE strangers_domains (
    domain TEXT NOT NULL PRIMARY KEY,
    known_since BIGINT NOT NULL
);

-- What strangers sent and accounts have not answered. peer: a tag made with the account's key. due_at: when a stanza that waits
-- for the end of a wave is judged again; NULL once it is the account's to decide. stanza: sealed.
CREATE TABLE strangers_requests (
    account TEXT NOT NULL,
    id BIGINT NOT NULL,
    peer BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    due_at BIGINT,
    stanza BYTEA NOT NULL,
    PRIMARY KEY (account, id)
);
CREATE INDEX strangers_requests_by_peer ON strangers_requests (account, peer);
CREATE INDEX strangers_requests_by_due ON strangers_requests (due_at);
CREATE INDEX strangers_requests_by_age ON strangers_requests (received_at);

-- What an account chose for messages from strangers, and when it was last told of requests.
CREATE TABLE strangers_accounts (
    account TEXT NOT NULL PRIMARY KEY,
    messages TEXT,
    told_at BIGINT NOT NULL
);
