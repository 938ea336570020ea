-- The name in lower case and normal form (PRECIS UsernameCaseMapped), which the gateway computes. Until now
-- names were ASCII.
ALTER TABLE users ADD COLUMN username_key TEXT NOT NULL DEFAULT '';
UPDATE users SET username_key = lower(username);

CREATE UNIQUE INDEX users_username_key ON users (username_key);
