-- Another address that the owner gave. It replaces `email` once it is confirmed; until then `email` counts.
ALTER TABLE users ADD COLUMN pending_email text;
CREATE INDEX users_pending_email ON users (lower(pending_email COLLATE "C")) WHERE pending_email IS NOT NULL;

-- Whether the account registered while an address had to be confirmed before the first login, and has confirmed
-- none yet. Accounts that were there before may sign in.
ALTER TABLE users ADD COLUMN must_confirm_email boolean NOT NULL DEFAULT false;
