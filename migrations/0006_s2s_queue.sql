-- Messages on their way to other servers. A row is stored in the transaction that stores the message for its sender, and
-- deleted once the other server has the message.
CREATE TABLE s2s_queue (
    id          BIGINT NOT NULL PRIMARY KEY, -- in the order of sending
    owner       TEXT   NOT NULL,             -- the sender, bare: an account or a room; its data key seals the stanza
    domain      TEXT   NOT NULL,             -- the other server
    process     BIGINT NOT NULL,             -- random for each start: a server resumes what earlier ones left
    received_at BIGINT NOT NULL,             -- microseconds since 1970
    bytes       BIGINT NOT NULL,             -- of the sealed stanza
    stanza      BYTEA  NOT NULL              -- sealed
);
-- What waits for a domain is counted from the index alone.
CREATE INDEX s2s_queue_by_domain ON s2s_queue (domain, bytes);
-- For the removal of an account.
CREATE INDEX s2s_queue_by_owner ON s2s_queue (owner);
