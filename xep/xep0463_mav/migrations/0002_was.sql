-- was: the affiliation before the change, so that a difference names nobody who is again what they were.
DELETE FROM mav_versions;
ALTER TABLE mav_versions ADD COLUMN was TEXT NOT NULL DEFAULT 'none';
CREATE INDEX mav_versions_jid ON mav_versions (jid);
