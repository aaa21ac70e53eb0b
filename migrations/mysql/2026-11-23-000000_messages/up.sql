-- MySQL commits after each statement, so a migration that was cut off is run again: every statement must bear that.
--
-- Natural keys and no foreign keys: jobs are stored in whatever order they come, a message before its chat, say.
-- Every row carries the revision of the write that it holds, and the newer one wins (ARCHITECTURE.md, "Promises").

CREATE TABLE IF NOT EXISTS applications (
  id CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  username VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  chats_count BIGINT NOT NULL DEFAULT 0 COMMENT 'stored chats that have been counted',
  revision BIGINT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS chats (
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  number BIGINT NOT NULL,
  messages_count BIGINT NULL COMMENT 'stored messages that have been counted; NULL before the first',
  revision BIGINT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  batch BIGINT NOT NULL COMMENT 'the store transaction that inserted the row: who counts it',
  PRIMARY KEY (app, number)
);

CREATE TABLE IF NOT EXISTS messages (
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  chat BIGINT NOT NULL,
  number BIGINT NOT NULL,
  text TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  revision BIGINT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NULL,
  batch BIGINT NOT NULL COMMENT 'the store transaction that inserted the row: who counts it',
  PRIMARY KEY (app, chat, number)
);

-- What store transactions inserted and the count workers have yet to add.
CREATE TABLE IF NOT EXISTS chats_count_deltas (
  id BIGINT NOT NULL AUTO_INCREMENT,
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  delta BIGINT NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS messages_count_deltas (
  id BIGINT NOT NULL AUTO_INCREMENT,
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  chat BIGINT NOT NULL,
  delta BIGINT NOT NULL,
  PRIMARY KEY (id)
);

-- What the search index has yet to be told: a row for each store transaction.
CREATE TABLE IF NOT EXISTS outbox (
  id BIGINT NOT NULL AUTO_INCREMENT,
  size BIGINT NOT NULL COMMENT 'how many keys it holds',
  message_keys MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'application:chat:number …',
  PRIMARY KEY (id)
);

-- One row. A store transaction locks the epoch against being raised until it is through.
CREATE TABLE IF NOT EXISTS state (
  id BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO state (id, epoch) VALUES (1, 0) ON DUPLICATE KEY UPDATE id = id;

-- At most one row: the index that a rebuild is filling. Apart from the epoch, whose row is locked all the time.
CREATE TABLE IF NOT EXISTS index_build (
  id BIGINT NOT NULL,
  target VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id)
);
