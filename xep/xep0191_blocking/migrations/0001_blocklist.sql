-- Who may not talk to whom (XEP-0191). The key's order serves the only question asked: the list of one account.
CREATE TABLE blocklist (
    account TEXT NOT NULL,
    jid TEXT NOT NULL,
    PRIMARY KEY (account, jid)
);
