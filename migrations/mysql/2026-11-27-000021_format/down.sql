ALTER TABLE store_state DROP COLUMN format;
ALTER TABLE applications RENAME COLUMN user_name TO username;
ALTER TABLE chats RENAME COLUMN inserted_by TO batch;
ALTER TABLE messages RENAME COLUMN inserted_by TO batch;
RENAME TABLE store_state TO state;
