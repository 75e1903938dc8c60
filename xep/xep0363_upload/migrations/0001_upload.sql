-- Uploaded files (XEP-0363). What an account may know of them, and the key of the content, is in `meta`, sealed.
CREATE TABLE upload_files (
    id TEXT NOT NULL,
    account TEXT NOT NULL,
    object TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    meta BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX upload_files_account ON upload_files (account, created_at);
CREATE INDEX upload_files_expires_at ON upload_files (expires_at);

-- Bytes an account has uploaded on one day (days since 1970), deleted files included.
CREATE TABLE upload_days (
    account TEXT NOT NULL,
    day BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (account, day)
);

-- Objects in the store that no file needs: those being written until they are whole, and those whose file is gone.
CREATE TABLE upload_waste (
    object TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (object)
);
CREATE INDEX upload_waste_since ON upload_waste (since);
