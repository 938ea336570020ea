-- What Redis holds elsewhere. Instants are microseconds since the Unix epoch.
CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    user_id    TEXT    NOT NULL,
    username   TEXT    NOT NULL,
    email      TEXT,
    roles      TEXT    NOT NULL, -- JSON array
    version    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    idle_until INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    address    TEXT,
    user_agent TEXT
) STRICT;

CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_idle_until ON sessions (idle_until);

-- Insert only, so that the newest id tells other processes what they have not seen yet.
CREATE TABLE revocations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT    NOT NULL CHECK (kind IN ('token', 'session', 'user')),
    subject TEXT    NOT NULL,
    below   INTEGER, -- for users: the lowest version that still counts
    until   INTEGER NOT NULL
) STRICT;

CREATE INDEX revocations_until ON revocations (until);

CREATE TABLE lockouts (
    name       TEXT    NOT NULL PRIMARY KEY,
    failures   INTEGER NOT NULL,
    is_locked  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX lockouts_expires_at ON lockouts (expires_at);
