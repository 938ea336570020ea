-- Whoever was here before the rule counts as verified.
ALTER TABLE users ADD COLUMN email_verified boolean NOT NULL DEFAULT true;
ALTER TABLE users ALTER COLUMN email_verified DROP DEFAULT;

CREATE INDEX users_email ON users (lower(email COLLATE "C"));

-- What is sent by mail, or given between the two steps of a login. The tokens are random, so a fast hash of
-- them is enough. Used and expired ones stay for a while: mails are counted by them.
CREATE TABLE one_time_tokens (
    hash       bytea       PRIMARY KEY,
    purpose    text        NOT NULL,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address    text,       -- where it was sent, in lower case; void once the account has another
    version    bigint,     -- of the account; void once that has changed
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE INDEX one_time_tokens_user ON one_time_tokens (user_id);
CREATE INDEX one_time_tokens_address ON one_time_tokens (address, created_at);
