ALTER TABLE state DROP COLUMN format;
ALTER TABLE applications RENAME COLUMN user_name TO username;
ALTER TABLE chats RENAME COLUMN inserted_by TO batch;
ALTER TABLE messages RENAME COLUMN inserted_by TO batch;
ALTER TABLE state RENAME COLUMN queue_epoch TO epoch;
