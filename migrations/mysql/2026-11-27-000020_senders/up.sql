-- Sender and data of messages. The table may be large: MySQL adds columns at its end without rewriting it.
-- MySQL has no ADD COLUMN IF NOT EXISTS, and a migration that was cut off runs again.
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE messages ADD COLUMN sender VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'sender'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- Compact JSON as its text: the JSON type would change the order of members and the digits of numbers.
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE messages ADD COLUMN data TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'data'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
