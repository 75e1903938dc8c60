-- Devices that an account has announced (XEP-0384), to tell a new one from one that was there before. Everything in here is
-- public: the account publishes it for all.
-- device: its id. fingerprint: its identity key in hexadecimal digits. since: when it was first seen, in microseconds.
CREATE TABLE omemo_devices (
    owner       TEXT   NOT NULL,
    device      BIGINT NOT NULL,
    fingerprint TEXT   NOT NULL,
    since       BIGINT NOT NULL,
    PRIMARY KEY (owner, device, fingerprint)
);

-- When an account was last told that a device of its list has no bundle, in microseconds. version: 0 or 2, of the protocol.
CREATE TABLE omemo_reports (
    owner   TEXT   NOT NULL,
    version BIGINT NOT NULL,
    device  BIGINT NOT NULL,
    told    BIGINT NOT NULL,
    PRIMARY KEY (owner, version, device)
);
