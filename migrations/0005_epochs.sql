-- epoch: which password of the account is the current one. Every new password makes another random number; a login holds
-- the number of the password that it proved, and is worth nothing once the two differ.
-- skeleton: what names that look like this one have in common (Unicode TR39 §4), with the domain. Rows from before get
-- theirs at the next start.
ALTER TABLE accounts ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN skeleton TEXT;
CREATE INDEX accounts_by_skeleton ON accounts (skeleton);
-- For clearing away tokens that are over, whoever they belong to.
CREATE INDEX account_tokens_by_expiry ON account_tokens (expires_at);
