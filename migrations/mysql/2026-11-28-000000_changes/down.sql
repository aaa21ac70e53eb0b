DROP TABLE history;
ALTER TABLE chats DROP INDEX by_revision;
ALTER TABLE messages DROP INDEX by_revision;
