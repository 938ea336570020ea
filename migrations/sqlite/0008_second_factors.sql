-- Kept beside the account, so that a login needs to look no further for those who have none.
ALTER TABLE users ADD COLUMN has_second_factor INTEGER NOT NULL DEFAULT 0;

-- The secret is sealed by a key that the database doesn't know.
CREATE TABLE second_factors (
    user_id       TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret BLOB    NOT NULL,
    is_confirmed  INTEGER NOT NULL,
    last_step     INTEGER NOT NULL -- no code of this step or an earlier one is good again
) STRICT;

-- The codes are random, so a fast hash of them is enough.
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT;
