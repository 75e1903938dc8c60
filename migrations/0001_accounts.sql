-- One row for each registered account. `account` is the bare JID in its prepared form (RFC 7622).
CREATE TABLE accounts (
    account    TEXT   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL              -- microseconds since 1970
);

-- What is kept instead of a password (RFC 5802 §3), one row for each hash function.
CREATE TABLE account_keys (
    account    TEXT   NOT NULL,
    hash       TEXT   NOT NULL,             -- 'SHA-1' or 'SHA-256'
    iterations BIGINT NOT NULL,
    salt       BYTEA  NOT NULL,
    stored_key BYTEA  NOT NULL,
    server_key BYTEA  NOT NULL,
    PRIMARY KEY (account, hash)
);

-- Names that were removed. Nobody may register them again, or the newcomer would get the old one's messages
-- and the trust of their contacts.
CREATE TABLE account_tombstones (
    account    TEXT   NOT NULL PRIMARY KEY,
    removed_at BIGINT NOT NULL              -- microseconds since 1970
);
