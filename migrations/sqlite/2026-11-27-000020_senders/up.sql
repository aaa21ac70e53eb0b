-- Both limits are checked before a write is accepted: a check here would read every row of a large table now.
ALTER TABLE messages ADD COLUMN sender TEXT;
ALTER TABLE messages ADD COLUMN data TEXT; -- compact JSON
