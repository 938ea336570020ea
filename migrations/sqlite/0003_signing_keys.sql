-- The generated token secret, when gateway.yaml names no keys.
CREATE TABLE signing_keys (
    name   TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL
) STRICT;
