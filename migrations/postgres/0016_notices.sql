-- Mail that tells owners what was changed in their accounts, until it is delivered or given up. No foreign key: owners
-- are told that their account is gone, too.
CREATE TABLE notices (
    id         uuid        PRIMARY KEY,
    kind       text        NOT NULL, -- for the owner or for operators
    user_id    uuid        NOT NULL,
    username   text        NOT NULL,
    email      text        NOT NULL,
    change     text        NOT NULL, -- in words for the owner
    at         timestamptz NOT NULL,
    actor      text,
    address    text,                 -- of whoever made the change
    user_agent text,
    request_id text,
    attempts   integer     NOT NULL,
    due_at     timestamptz NOT NULL  -- while a gateway sends it: when another one may
);

CREATE INDEX notices_due_at ON notices (due_at);
CREATE INDEX notices_user ON notices (user_id);
