-- Reports of accounts about spam and abuse, for the administrators. The id is the time of the report, in microseconds.
CREATE TABLE abuse_reports (
    id       BIGINT NOT NULL PRIMARY KEY,
    reporter TEXT   NOT NULL,
    state    BIGINT NOT NULL, -- 0: nobody has seen it, 1: seen, 2: closed
    outcome  TEXT,            -- what an administrator did
    content  BYTEA  NOT NULL  -- sealed with the reporter's key
);
CREATE INDEX abuse_reports_reporter ON abuse_reports (reporter);
CREATE INDEX abuse_reports_state ON abuse_reports (state);
