-- Deletion and idempotency keys. MySQL adds columns at the end of a table without rewriting it.
-- MySQL has no ADD COLUMN IF NOT EXISTS, and a migration that was cut off runs again.
--
-- The row of a deleted item stays, without its content, so that no late job brings it back. Rows of the messages of a deleted
-- chat are removed: the row of the chat stays.
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE messages ADD COLUMN deleted_at DATETIME(3) NULL',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'deleted_at'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE chats ADD COLUMN deleted_at DATETIME(3) NULL',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'chats' AND column_name = 'deleted_at'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE chats ADD COLUMN deleted_up_to BIGINT NOT NULL DEFAULT 0',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'chats' AND column_name = 'deleted_up_to'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE applications ADD COLUMN deleted_at DATETIME(3) NULL',
    'DO 0')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'applications' AND column_name = 'deleted_at'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- Counts the deleted chats of an application. Store transactions lock entries of these indices, which only deletions change:
-- a lock of the row would also make them and the updates of its count wait for each other.
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE chats ADD INDEX by_deletion (app, deleted_at, number, deleted_up_to)',
    'DO 0')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'chats' AND index_name = 'by_deletion'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0,
    'ALTER TABLE applications ADD INDEX by_deletion (id, deleted_at)',
    'DO 0')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'applications' AND index_name = 'by_deletion'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- What creations with an idempotency key created. Neither the key nor the body is kept, only their hashes.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  id BINARY(16) NOT NULL PRIMARY KEY COMMENT 'first half of the SHA-256 of the application, the chat, the user and the key',
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  chat BIGINT NOT NULL COMMENT '0: the key of a chat',
  number BIGINT NOT NULL COMMENT 'of the message, or of the chat',
  body BINARY(16) NULL COMMENT 'first half of the SHA-256 of the body; NULL once what was created is deleted',
  KEY by_number (app, chat, number)
);

-- Erasures of the content of deleted applications and chats, and of the messages of a sender, with their progress.
CREATE TABLE IF NOT EXISTS erasures (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  chat BIGINT NOT NULL COMMENT '0: the whole application',
  user VARBINARY(1020) NULL COMMENT 'only messages of this sender',
  until_revision BIGINT NOT NULL COMMENT 'writes accepted until then',
  position VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '' COMMENT 'where it continues',
  erased BIGINT NOT NULL DEFAULT 0 COMMENT 'messages until there',
  requested_at DATETIME(3) NOT NULL,
  finished_at DATETIME(3) NULL,
  KEY by_end (finished_at, id)
);

-- Log of all deletions, without content. A restored backup holds what was deleted since: the log says what.
CREATE TABLE IF NOT EXISTS deletions (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  chat BIGINT NOT NULL COMMENT '0: a chat or an application',
  number BIGINT NOT NULL COMMENT 'of the message or chat; 0: an application',
  up_to BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'all messages of the chat up to the number',
  deleted_at DATETIME(3) NOT NULL
);

-- Programs of the former format would show what is deleted, and store without idempotency keys. Last, when all of it is done.
UPDATE state SET format = GREATEST(format, 3);
