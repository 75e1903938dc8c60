-- Browsers and programs that are woken by this server itself. `tag` stands for the address at the push service: equal for equal
-- ones, made with the account's key; it is the node that push notifications are published to. `sealed` is all that the client
-- said. `taken_at` is when the push service last took something, `failed_at` when it last did not, `failure` why.
CREATE TABLE push_subscription (
    account TEXT NOT NULL,
    tag BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    since BIGINT NOT NULL,
    taken_at BIGINT,
    failed_at BIGINT,
    failure TEXT,
    PRIMARY KEY (account, tag)
);
-- Keys with which this server shows push services who it is.
CREATE TABLE push_identity (
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (name)
);
