-- Room activity (XEP-0437): when a member was last in a room, in microseconds.
-- Who is a member stands in the room's own list; this adds only the time.
CREATE TABLE room_left (
    account TEXT   NOT NULL,
    room    TEXT   NOT NULL,
    stamp   BIGINT NOT NULL,
    PRIMARY KEY (account, room)
);

CREATE INDEX room_left_by_room ON room_left (room);
