-- How the user proved who they are (RFC 8176): a JSON array.
ALTER TABLE sessions ADD COLUMN amr TEXT NOT NULL DEFAULT '[]';
