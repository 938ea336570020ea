-- The generated token secret, when gateway.yaml names no keys.
CREATE TABLE signing_keys (
    name   text PRIMARY KEY,
    secret text NOT NULL
);
