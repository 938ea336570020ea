-- No foreign key: what a deleted user did stays on record.
CREATE TABLE audit_log (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    event      text        NOT NULL,
    user_id    uuid,
    username   text        NOT NULL,
    address    text,
    request_id text,
    detail     text
);

CREATE INDEX audit_log_user ON audit_log (user_id, id);
