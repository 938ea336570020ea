-- Kept beside the account, so that a login needs to look no further for those who have none.
ALTER TABLE users ADD COLUMN has_second_factor boolean NOT NULL DEFAULT false;

-- The secret is sealed by a key that the database doesn't know.
CREATE TABLE second_factors (
    user_id       uuid    PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret bytea   NOT NULL,
    is_confirmed  boolean NOT NULL,
    last_step     bigint  NOT NULL -- no code of this step or an earlier one is good again
);

-- The codes are random, so a fast hash of them is enough.
CREATE TABLE recovery_codes (
    user_id uuid  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    bytea NOT NULL,
    PRIMARY KEY (user_id, hash)
);
