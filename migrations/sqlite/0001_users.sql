-- Instants are microseconds since the Unix epoch.
CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    email         TEXT,
    password_hash TEXT    NOT NULL,
    roles         TEXT    NOT NULL, -- JSON array
    version       INTEGER NOT NULL,
    disabled      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;
