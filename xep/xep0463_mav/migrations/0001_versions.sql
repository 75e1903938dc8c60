-- Versions of rooms' affiliations (XEP-0463), the last ones of each room. jid: whose affiliation changed; '' in the first row.
CREATE TABLE mav_versions (
    room    TEXT   NOT NULL,
    place   BIGINT NOT NULL,
    version TEXT   NOT NULL,
    jid     TEXT   NOT NULL,
    PRIMARY KEY (room, place)
);
