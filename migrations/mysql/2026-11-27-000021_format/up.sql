-- Locks out programs that know nothing of formats: they would drop senders and data, and later show what was deleted.
-- Their statements name the columns that are renamed here, so each of them fails from now on, and they take
-- that for an outage. Renaming changes no row. First the epoch, which every transaction of theirs that stores jobs reads.
-- A migration that was cut off runs again, so each statement looks first whether it is still to be done.
SET @change = (
  SELECT IF(COUNT(*) = 0, 'DO 0', 'ALTER TABLE state RENAME COLUMN epoch TO queue_epoch')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'state' AND column_name = 'epoch'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0, 'DO 0', 'ALTER TABLE messages RENAME COLUMN batch TO inserted_by')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'batch'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0, 'DO 0', 'ALTER TABLE chats RENAME COLUMN batch TO inserted_by')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'chats' AND column_name = 'batch'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0, 'DO 0', 'ALTER TABLE applications RENAME COLUMN username TO user_name')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'applications' AND column_name = 'username'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The format of the stores: see src/stores/format.rs. Last, when all of it is done.
SET @change = (
  SELECT IF(COUNT(*) = 0, 'ALTER TABLE state ADD COLUMN format BIGINT NOT NULL DEFAULT 1', 'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'state' AND column_name = 'format'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
UPDATE state SET format = GREATEST(format, 2);
