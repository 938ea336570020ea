-- The transaction that wrote a record: ids are given out before it is committed, so whoever follows the log
-- can't go by them.
ALTER TABLE audit_log ADD COLUMN written_by xid8;
ALTER TABLE audit_log ALTER COLUMN written_by SET DEFAULT pg_current_xact_id();

CREATE INDEX audit_log_written_by ON audit_log (written_by);
