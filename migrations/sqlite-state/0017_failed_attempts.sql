-- Guesses at passwords and codes, by account or by a name that no account has. The table `lockouts` counted them
-- by name; the version before goes on using it.
CREATE TABLE failed_attempts (
    target     TEXT    NOT NULL, -- an account's id, or `name:` and a name
    lane       TEXT    NOT NULL, -- strangers, a known device or network, or all failures in a row
    failures   INTEGER NOT NULL,
    pending    INTEGER NOT NULL, -- attempts whose answer isn't known yet
    is_locked  INTEGER NOT NULL,
    begun_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (target, lane)
) STRICT;

CREATE INDEX failed_attempts_expires_at ON failed_attempts (expires_at);

-- Where an account was signed in to.
CREATE TABLE known_networks (
    target      TEXT    NOT NULL,
    network     TEXT    NOT NULL,
    known_until INTEGER NOT NULL,
    PRIMARY KEY (target, network)
) STRICT;

CREATE INDEX known_networks_known_until ON known_networks (known_until);
