DROP TABLE history;
DROP INDEX jobs_by_app;
DROP INDEX chats_by_revision;
DROP INDEX messages_by_revision;
