-- Raised by whatever changes how the account proves who it is (password, second factor, disabling). A session
-- belongs to the value it was begun under. `version` is raised by these, too, and by other changes.
ALTER TABLE users ADD COLUMN credentials_version INTEGER NOT NULL DEFAULT 1;
