-- Whom nobody here hears from: bare JIDs and domains that the administrators have blocked.
CREATE TABLE server_blocks (
    address TEXT   NOT NULL PRIMARY KEY,
    since   BIGINT NOT NULL
);

-- The block lists of others, as they were last heard of: SHA-256 of bare JIDs and domains.
CREATE TABLE server_block_lists (
    source TEXT  NOT NULL,
    hash   BYTEA NOT NULL,
    PRIMARY KEY (source, hash)
);
