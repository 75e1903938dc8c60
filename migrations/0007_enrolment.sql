-- How the account came to be: 'registered' by its owner where registration is open, 'invited', or 'provisioned' by an
-- administrator. Empty for accounts that were made before this was recorded.
ALTER TABLE accounts ADD COLUMN enrolment TEXT NOT NULL DEFAULT '';
