ALTER TABLE outbox DROP COLUMN created_at;
