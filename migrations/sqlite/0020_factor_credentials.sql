-- The account's `credentials_version` when the factor was begun: one that was begun before the password changed is
-- never confirmed. 0 for factors that were begun before this column, which have to be begun again.
ALTER TABLE second_factors ADD COLUMN credentials_version INTEGER NOT NULL DEFAULT 0;
