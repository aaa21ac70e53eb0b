-- Deletion and idempotency keys. The row of a deleted item stays, without its content, so that no late job brings it back. Rows
-- of the messages of a deleted chat are removed: the row of the chat stays.
ALTER TABLE messages ADD COLUMN deleted_at INTEGER;
ALTER TABLE chats ADD COLUMN deleted_at INTEGER;
ALTER TABLE chats ADD COLUMN deleted_up_to INTEGER NOT NULL DEFAULT 0; -- all messages up to this number are deleted
ALTER TABLE applications ADD COLUMN deleted_at INTEGER;

-- Accepted deletions, whether stored or not.
ALTER TABLE app_numbers ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE app_numbers ADD COLUMN deleted_chats INTEGER NOT NULL DEFAULT 0; -- number of them
ALTER TABLE chat_numbers ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- What creations with an idempotency key created. Neither the key nor the body is kept, only their hashes.
CREATE TABLE idempotency_keys (
  id BLOB NOT NULL PRIMARY KEY, -- first half of the SHA-256 of the application, the chat, the user and the key
  app TEXT NOT NULL,
  chat INTEGER NOT NULL, -- 0: the key of a chat
  number INTEGER NOT NULL, -- of the message, or of the chat
  body BLOB -- first half of the SHA-256 of the body; NULL once what was created is deleted
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_number ON idempotency_keys (app, chat, number);

-- Erasures of the content of deleted applications and chats, and of the messages of a sender, with their progress.
CREATE TABLE erasures (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app TEXT NOT NULL,
  chat INTEGER NOT NULL, -- 0: the whole application
  user TEXT, -- only messages of this sender
  until_revision INTEGER NOT NULL, -- writes accepted until then
  position TEXT NOT NULL DEFAULT '', -- where it continues
  erased INTEGER NOT NULL DEFAULT 0, -- messages until there
  requested_at INTEGER NOT NULL,
  finished_at INTEGER
) STRICT;
CREATE INDEX erasures_unfinished ON erasures (id) WHERE finished_at IS NULL;

-- Log of all deletions, without content. A restored backup holds what was deleted since: the log says what.
CREATE TABLE deletions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app TEXT NOT NULL,
  chat INTEGER NOT NULL, -- 0: a chat or an application
  number INTEGER NOT NULL, -- of the message or chat; 0: an application
  up_to INTEGER NOT NULL DEFAULT 0, -- 1: all messages of the chat up to the number
  deleted_at INTEGER NOT NULL
) STRICT;

-- One row: how far the file holds nothing of deleted texts any more.
CREATE TABLE compaction (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  deletions INTEGER NOT NULL, -- ID in deletions
  target INTEGER, -- ID in deletions that the compaction under way is for; NULL if there is none
  began_at INTEGER, -- the last one; NULL before the first
  page INTEGER NOT NULL DEFAULT 0 -- the last page that it has overwritten
) STRICT;
INSERT INTO compaction (id, deletions) VALUES (1, 0);
