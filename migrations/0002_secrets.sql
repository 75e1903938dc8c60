-- Random secrets that all nodes of the server share, each made when it is first asked for.
CREATE TABLE kim_secrets (
    name   TEXT  NOT NULL PRIMARY KEY,
    secret BYTEA NOT NULL
);
