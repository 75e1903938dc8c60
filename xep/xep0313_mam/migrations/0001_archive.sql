-- Message archives (XEP-0313): one row for each message in each archive, in the order of (stamp, tie).
-- owner: the account (later also a room) whose archive it is. stamp: when it was stored, in microseconds. tie: random,
-- tells messages of the same microsecond apart and makes ids unpredictable.
-- peer, peer_full, reference, resend: tags, by which the owner's key finds equals: the other side's bare JID and its full
-- one, the sender with the message's own id, and sender, origin-id and content of a message that the owner sent.
-- stanza: the message, sealed.
CREATE TABLE mam_archive (
    owner     TEXT   NOT NULL,
    stamp     BIGINT NOT NULL,
    tie       BIGINT NOT NULL,
    peer      BIGINT NOT NULL,
    peer_full BIGINT NOT NULL,
    reference BIGINT NOT NULL,
    resend    BIGINT,
    stanza    BYTEA  NOT NULL,
    PRIMARY KEY (owner, stamp, tie)
);

-- The tag of a peer is made with the owner's key, so it stands for both. Without the owner no planner mistakes the primary
-- key for the better way to a conversation.
CREATE INDEX mam_archive_by_peer ON mam_archive (peer, stamp, tie, reference);

-- What an account wants archived (XEP-0441): the <prefs/> element, sealed.
CREATE TABLE mam_prefs (
    owner TEXT  NOT NULL PRIMARY KEY,
    prefs BYTEA NOT NULL
);
