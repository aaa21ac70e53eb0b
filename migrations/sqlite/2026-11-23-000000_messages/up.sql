-- One file for the rows, the queue and the full text. Times are milliseconds since 1970. Natural keys and no foreign
-- keys: jobs are stored in whatever order they come, a message before its chat, say (ARCHITECTURE.md, "Promises").

-- The rows.

CREATE TABLE applications (
  id TEXT NOT NULL PRIMARY KEY,
  username TEXT NOT NULL,
  chats_count INTEGER NOT NULL DEFAULT 0, -- stored chats
  revision INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE chats (
  app TEXT NOT NULL,
  number INTEGER NOT NULL,
  messages_count INTEGER, -- stored messages; NULL before the first
  revision INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (app, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  id INTEGER PRIMARY KEY, -- chat_numbers.id << 32 | number: a chat's messages lie together, in their order
  app TEXT NOT NULL,
  chat INTEGER NOT NULL,
  number INTEGER NOT NULL,
  text TEXT NOT NULL CHECK (length(text) <= 16000),
  revision INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER
) STRICT;

-- The queue: what numbers have been given out, and accepted writes that are not stored yet.

CREATE TABLE app_numbers (
  app TEXT NOT NULL PRIMARY KEY,
  chats INTEGER NOT NULL -- given out
) STRICT, WITHOUT ROWID;

CREATE TABLE chat_numbers (
  id INTEGER PRIMARY KEY, -- stands for the chat wherever a number is wanted: messages.id, the index
  app TEXT NOT NULL,
  number INTEGER NOT NULL,
  messages INTEGER NOT NULL, -- given out
  UNIQUE (app, number)
) STRICT;

-- One row: the last revision given out.
CREATE TABLE state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  revision INTEGER NOT NULL
) STRICT;
INSERT INTO state (id, revision) VALUES (1, 1 << 40);

CREATE TABLE jobs (
  id INTEGER PRIMARY KEY, -- the write's revision, so the oldest comes first
  kind TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'leased', 'delayed', 'dead')),
  app TEXT NOT NULL,
  chat INTEGER NOT NULL, -- 0 for applications and chats
  number INTEGER NOT NULL, -- of the chat or message; 0 for applications
  superseded INTEGER NOT NULL DEFAULT 0, -- a newer write to the same thing is stored: no longer to be read
  payload TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  lease TEXT, -- the claim that holds it
  due INTEGER, -- of a delayed job: when to try again; of a dead letter: since when
  tries INTEGER NOT NULL DEFAULT 0, -- failures by its own fault
  crashes INTEGER NOT NULL DEFAULT 0, -- claimers that died over it
  error TEXT -- what was said last
) STRICT;
CREATE INDEX jobs_pending ON jobs (app, chat, number);
CREATE INDEX jobs_waiting ON jobs (kind) WHERE state = 'waiting';
CREATE INDEX jobs_alone ON jobs (kind) WHERE state = 'waiting' AND crashes >= 2;
CREATE INDEX jobs_delayed ON jobs (kind, due) WHERE state = 'delayed';
CREATE INDEX jobs_leased ON jobs (lease) WHERE lease IS NOT NULL;

CREATE TABLE leases (
  token TEXT NOT NULL PRIMARY KEY,
  claimer TEXT NOT NULL, -- which run of the program
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many jobs are where: counting a million of them for every write would take too long.
CREATE TABLE job_counts (
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  jobs INTEGER NOT NULL,
  PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER jobs_in AFTER INSERT ON jobs BEGIN
  INSERT INTO job_counts (kind, state, jobs) VALUES (NEW.kind, NEW.state, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER jobs_out AFTER DELETE ON jobs BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE kind = OLD.kind AND state = OLD.state;
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE kind = OLD.kind AND state = OLD.state;
  INSERT INTO job_counts (kind, state, jobs) VALUES (NEW.kind, NEW.state, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

-- The full text. Every word is laid into the index with its chat's id before it: a search, of a prefix too, meets the
-- words of its own chat only. Just the index is kept, and the revision that each document was made from.

CREATE VIRTUAL TABLE words_1 USING fts5 (
  words, revision UNINDEXED, content = '', contentless_delete = 1, contentless_unindexed = 1, tokenize = 'ascii'
);

CREATE TABLE search_indexes (
  name TEXT NOT NULL PRIMARY KEY,
  role TEXT CHECK (role IN ('current', 'building'))
) STRICT, WITHOUT ROWID;
INSERT INTO search_indexes (name, role) VALUES ('words_1', 'current');
