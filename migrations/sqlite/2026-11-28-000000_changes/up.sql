-- Changes of an application, in the order of their revisions.
CREATE INDEX messages_by_revision ON messages (app, revision, chat, number);
CREATE INDEX chats_by_revision ON chats (app, revision);
CREATE INDEX jobs_by_app ON jobs (app); -- within an application by ID

-- The parts of the history: one for each start of the program. A copy of the file that was started on its own has parts with
-- other marks than the file.
CREATE TABLE history (
  number INTEGER PRIMARY KEY,
  mark INTEGER NOT NULL UNIQUE, -- random
  start INTEGER NOT NULL -- the last revision given out before
) STRICT;
