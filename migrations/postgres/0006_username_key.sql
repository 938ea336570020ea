-- The name in lower case and normal form (PRECIS UsernameCaseMapped), which the gateway computes. Until now
-- names were ASCII. "C" keeps comparisons from depending on the cluster's locale.
ALTER TABLE users ADD COLUMN username_key text COLLATE "C";
UPDATE users SET username_key = lower(username COLLATE "C");
ALTER TABLE users ALTER COLUMN username_key SET NOT NULL;

DROP INDEX users_username;
CREATE UNIQUE INDEX users_username_key ON users (username_key);
