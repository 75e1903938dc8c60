-- The roster of each account (RFC 6121 §2): one row for each contact that is listed or waits for an answer.
-- sub_out, sub_in: 0 no, 1 asked, 2 subscribed. group_names: separated by U+001F, which XML cannot carry.
-- version: that of the roster when the contact last changed visibly. request: the stanza that waits for an answer.
CREATE TABLE im_roster (
    account TEXT NOT NULL,
    contact TEXT NOT NULL,
    listed BIGINT NOT NULL,
    sub_out BIGINT NOT NULL,
    sub_in BIGINT NOT NULL,
    approved BIGINT NOT NULL,
    name TEXT,
    group_names TEXT NOT NULL,
    version BIGINT NOT NULL,
    request BYTEA,
    PRIMARY KEY (account, contact)
);

-- version: of the roster as clients see it (§2.6). floor_version: the oldest from which it can be told what changed.
-- revision: counts every change, also those that no client sees.
CREATE TABLE im_roster_versions (
    account TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    floor_version BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

-- Contacts that are no longer listed, so that a client which still has them can be told.
CREATE TABLE im_roster_removed (
    account TEXT NOT NULL,
    contact TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account, contact)
);
