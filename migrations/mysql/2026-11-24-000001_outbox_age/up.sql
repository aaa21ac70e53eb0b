-- Since when a change waits to be told to the search index; programs that do not know the column leave it to its default.
-- MySQL has no ADD COLUMN IF NOT EXISTS, and a migration that died half way runs again.
SET @add = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE outbox ADD COLUMN created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'outbox' AND column_name = 'created_at'
);
PREPARE add_column FROM @add;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;
