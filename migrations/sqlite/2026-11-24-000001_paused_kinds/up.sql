-- Kinds of jobs that an operator has stopped: none of them is claimed.
CREATE TABLE paused_kinds (
  kind TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- A few dead letters are to be listed without reading a million jobs that wait.
CREATE INDEX jobs_dead ON jobs (state) WHERE state = 'dead';
