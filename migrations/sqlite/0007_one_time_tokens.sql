-- Whoever was here before the rule counts as verified.
ALTER TABLE users ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 1;

CREATE INDEX users_email ON users (lower(email));

-- What is sent by mail, or given between the two steps of a login. The tokens are random, so a fast hash of
-- them is enough. Used and expired ones stay for a while: mails are counted by them.
CREATE TABLE one_time_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    purpose    TEXT    NOT NULL,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address    TEXT,    -- where it was sent, in lower case; void once the account has another
    version    INTEGER, -- of the account; void once that has changed
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;

CREATE INDEX one_time_tokens_user ON one_time_tokens (user_id);
CREATE INDEX one_time_tokens_address ON one_time_tokens (address, created_at);
