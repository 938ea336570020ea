-- The account's `credentials_version` when the session was begun; 0 for sessions from before this column.
ALTER TABLE sessions ADD COLUMN credentials INTEGER NOT NULL DEFAULT 0;

-- A session is started only if its version isn't revoked.
CREATE INDEX revocations_subject ON revocations (subject, kind);
