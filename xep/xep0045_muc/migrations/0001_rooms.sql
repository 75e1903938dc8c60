-- Rooms (XEP-0045). What people write is sealed with the room's own key; addresses stay readable, because rooms are looked
-- for by them.
-- listed: the name of a public room as anybody may see it; NULL for a hidden one. persistent: 0 for a room that goes with
-- its last occupant. creator: who made it, for the limit on rooms of one account. state: configuration and the secret of
-- occupant ids, sealed. subject: the message that set the subject, sealed.
CREATE TABLE muc_rooms (
    room       TEXT   NOT NULL PRIMARY KEY,
    service    TEXT   NOT NULL,
    listed     TEXT,
    persistent BIGINT NOT NULL,
    creator    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    state      BYTEA  NOT NULL,
    subject    BYTEA
);

CREATE INDEX muc_rooms_by_creator ON muc_rooms (creator);
CREATE INDEX muc_rooms_by_service ON muc_rooms (service, room);

-- Who is what in a room; nobody stands here without an affiliation. note: reserved nickname and reason, sealed.
CREATE TABLE muc_affiliations (
    room        TEXT   NOT NULL,
    jid         TEXT   NOT NULL,
    affiliation TEXT   NOT NULL,
    since       BIGINT NOT NULL,
    note        BYTEA,
    PRIMARY KEY (room, jid)
);

CREATE INDEX muc_affiliations_by_jid ON muc_affiliations (jid);

-- Who is in a room, so that a restart throws nobody out. state: nickname, role and presence, sealed.
CREATE TABLE muc_occupants (
    room    TEXT  NOT NULL,
    jid     TEXT  NOT NULL,
    account TEXT  NOT NULL,
    state   BYTEA NOT NULL,
    PRIMARY KEY (room, jid)
);

CREATE INDEX muc_occupants_by_account ON muc_occupants (account);

-- Rooms of [rooms] default that were made once; not made again if they are destroyed.
CREATE TABLE muc_defaults (
    room TEXT NOT NULL PRIMARY KEY
);
