ALTER TABLE messages DROP COLUMN data;
ALTER TABLE messages DROP COLUMN sender;
