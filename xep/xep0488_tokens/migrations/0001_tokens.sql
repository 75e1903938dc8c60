-- Tokens that make members of rooms (XEP-0488). tie: random, names the row. maker: the account that asked for it. token: the
-- text itself, sealed with the room's key, because those who may revoke it may list it. uses: how many more may use it;
-- expires: until when, in microseconds; NULL for no limit.
CREATE TABLE room_token (
    room    TEXT   NOT NULL,
    tie     BIGINT NOT NULL,
    maker   TEXT   NOT NULL,
    token   BYTEA  NOT NULL,
    uses    BIGINT,
    expires BIGINT,
    PRIMARY KEY (room, tie)
);

CREATE INDEX room_token_by_maker ON room_token (maker);
