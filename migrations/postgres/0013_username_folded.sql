-- The name with every sigma in one form: a capital one stands for either small one (RFC 8265 §3.3). Names from before
-- have a key with the form that was typed, by which the version before finds them; new ones have this form as their key.
ALTER TABLE users ADD COLUMN username_folded text COLLATE "C"
    GENERATED ALWAYS AS (replace(username_key, 'ς', 'σ')) STORED;

CREATE INDEX users_username_folded ON users (username_folded);
