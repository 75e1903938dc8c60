-- vCards (XEP-0054). `photo` is the hash that presence carries (XEP-0153), absent without a picture.
CREATE TABLE vcard (
    account TEXT PRIMARY KEY,
    xml TEXT NOT NULL,
    photo TEXT
);
