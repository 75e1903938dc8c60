-- Messages that wait for an account to come online (XEP-0160), in the order of their arrival.
-- stanza: sealed.
CREATE TABLE im_offline (
    account TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    id BIGINT NOT NULL,
    stanza BYTEA NOT NULL,
    PRIMARY KEY (account, received_at, id)
);
