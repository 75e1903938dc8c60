-- The data key of each account or room that has something sealed, wrapped by a key-encryption key that is not in here.
-- kek: the fingerprint of that key.
CREATE TABLE kim_data_keys (
    owner   TEXT  NOT NULL PRIMARY KEY,
    kek     TEXT  NOT NULL,
    wrapped BYTEA NOT NULL
);

-- The key-encryption keys in use, more than one only while they are exchanged, each with a proof by which a key is
-- recognised.
CREATE TABLE kim_keks (
    kek   TEXT  NOT NULL PRIMARY KEY,
    proof BYTEA NOT NULL
);
