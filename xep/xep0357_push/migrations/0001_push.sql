-- Where accounts want push notifications (XEP-0357). `tag` stands for the app server and its node: equal for equal ones, made
-- with the account's key. `sealed` is all that the client said. `due_at` is when the next attempt is made, while there is one
-- to make; `tries` are those that failed, `failures` the notifications in a row that were given up.
CREATE TABLE push_registration (
    account TEXT NOT NULL,
    tag BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    since BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    due_at BIGINT,
    tries BIGINT NOT NULL,
    PRIMARY KEY (account, tag)
);
CREATE INDEX push_registration_due ON push_registration (due_at) WHERE due_at IS NOT NULL;
