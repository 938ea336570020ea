-- No foreign key: what a deleted user did stays on record.
CREATE TABLE audit_log (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    event      TEXT    NOT NULL,
    user_id    TEXT,
    username   TEXT    NOT NULL,
    address    TEXT,
    request_id TEXT,
    detail     TEXT
) STRICT;

CREATE INDEX audit_log_user ON audit_log (user_id, id);
