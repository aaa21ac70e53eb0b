-- The order of the list of applications. MySQL has no ADD INDEX IF NOT EXISTS.
SET @add = (
  SELECT IF(COUNT(*) = 0, 'ALTER TABLE applications ADD INDEX by_creation (created_at, id)', 'DO 0')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'applications' AND index_name = 'by_creation'
);
PREPARE add_index FROM @add;
EXECUTE add_index;
DEALLOCATE PREPARE add_index;
