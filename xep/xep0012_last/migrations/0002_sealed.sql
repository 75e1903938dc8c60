-- sealed: the words of the last status, sealed with the account's key; NULL for none. `status` is not used any more: what
-- lay in it readable goes.
ALTER TABLE last_activity ADD COLUMN sealed BYTEA;
UPDATE last_activity SET status = '';
