-- Hats of rooms (XEP-0317). state: the hats there are and who wears which, sealed with the room's key.
CREATE TABLE room_hats (
    room  TEXT  NOT NULL PRIMARY KEY,
    state BYTEA NOT NULL
);
