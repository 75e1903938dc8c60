-- sealed: what was in `xml`, sealed with the account's key. Rows from before have it in `xml` still, until they are written anew.
ALTER TABLE vcard ADD COLUMN sealed BYTEA;
