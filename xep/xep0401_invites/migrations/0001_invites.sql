-- Invitations (XEP-0401). Of a token only its SHA-256 is here: who reads this table can redeem nothing.
-- inviter: who invited, empty for the operator. account: whom alone it is for, empty for anybody. room: empty for none.
-- Times in microseconds since 1970.
CREATE TABLE invites (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    domain TEXT NOT NULL,
    inviter TEXT NOT NULL,
    account TEXT NOT NULL,
    room TEXT NOT NULL,
    contact BIGINT NOT NULL,
    registers BIGINT NOT NULL,
    befriends BIGINT NOT NULL,
    uses_left BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX invites_inviter ON invites (inviter, created_at);
CREATE INDEX invites_account ON invites (account);
CREATE INDEX invites_expires ON invites (expires_at);
