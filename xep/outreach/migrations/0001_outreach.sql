-- People whom an account has to do with without being contacts: those it wrote to first, which count against its budget, and
-- those who wrote to it first.
CREATE TABLE outreach_people (
    account TEXT   NOT NULL,
    peer    BIGINT NOT NULL,             -- who: a tag made with the account's key
    met_at  BIGINT NOT NULL,             -- microseconds since 1970
    ours    BIGINT NOT NULL,             -- 1 if the account wrote first, 0 if the peer did
    PRIMARY KEY (account, peer)
);
-- What counts against the budget, the latest first.
CREATE INDEX outreach_people_by_time ON outreach_people (account, ours, met_at);
-- For clearing away.
CREATE INDEX outreach_people_by_age ON outreach_people (met_at);
