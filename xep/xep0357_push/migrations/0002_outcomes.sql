-- How it went: when the app server last took a notification, when it last did not, and why. A success clears the failure.
ALTER TABLE push_registration ADD COLUMN taken_at BIGINT;
ALTER TABLE push_registration ADD COLUMN failed_at BIGINT;
ALTER TABLE push_registration ADD COLUMN failure TEXT;
