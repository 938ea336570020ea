CREATE TABLE users (
    id            uuid        PRIMARY KEY,
    username      text        NOT NULL,
    email         text,
    password_hash text        NOT NULL,
    roles         text[]      NOT NULL,
    version       bigint      NOT NULL,
    disabled      boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- Usernames are ASCII. "C" keeps lower() from depending on the cluster's locale.
CREATE UNIQUE INDEX users_username ON users (lower(username COLLATE "C"));
