-- The list of applications, in the order in which they were accepted. MySQL has no ADD INDEX IF NOT EXISTS.
SET @add = (
  SELECT IF(COUNT(*) = 0, 'ALTER TABLE applications ADD INDEX by_revision (revision, id)', 'DO 0')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'applications' AND index_name = 'by_revision'
);
PREPARE add_index FROM @add;
EXECUTE add_index;
DEALLOCATE PREPARE add_index;
