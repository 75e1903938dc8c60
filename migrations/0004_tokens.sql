-- Tokens that stand for an account where no password is asked for (the REST API). What is kept is a hash; nobody can make
-- the token of it.
CREATE TABLE account_tokens (
    token_hash BYTEA  NOT NULL PRIMARY KEY, -- SHA-256
    id         TEXT   NOT NULL,             -- what the owner calls it by; no secret
    account    TEXT   NOT NULL,
    scopes     TEXT   NOT NULL,             -- what it is good for, with blanks between
    created_at BIGINT NOT NULL,             -- microseconds since 1970
    expires_at BIGINT NOT NULL
);
CREATE INDEX account_tokens_by_account ON account_tokens (account, created_at);
