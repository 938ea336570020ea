-- Mail that tells owners what was changed in their accounts, until it is delivered or given up. No foreign key: owners
-- are told that their account is gone, too.
CREATE TABLE notices (
    id         TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL, -- for the owner or for operators
    user_id    TEXT    NOT NULL,
    username   TEXT    NOT NULL,
    email      TEXT    NOT NULL,
    change     TEXT    NOT NULL, -- in words for the owner
    at         INTEGER NOT NULL,
    actor      TEXT,
    address    TEXT,             -- of whoever made the change
    user_agent TEXT,
    request_id TEXT,
    attempts   INTEGER NOT NULL,
    due_at     INTEGER NOT NULL  -- while a gateway sends it: when another one may
) STRICT;

CREATE INDEX notices_due_at ON notices (due_at);
CREATE INDEX notices_user ON notices (user_id);
