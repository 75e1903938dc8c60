-- vCards of rooms (XEP-0486): card is the vCard, sealed with the room's key; hash is that of its picture, which everybody
-- may know.
CREATE TABLE room_card (
    room TEXT  NOT NULL PRIMARY KEY,
    card BYTEA NOT NULL,
    hash TEXT
);
