-- Who did it (a username, or `cli:` and the operator's login), by which program, and with what outcome.
ALTER TABLE audit_log ADD COLUMN actor text;
ALTER TABLE audit_log ADD COLUMN user_agent text;
ALTER TABLE audit_log ADD COLUMN outcome text NOT NULL DEFAULT 'success';

CREATE INDEX audit_log_event ON audit_log (event, id);
CREATE INDEX audit_log_at ON audit_log (at);
