-- At most one row: the index that a rebuild is filling (the one whose role is 'building'), and how far it has come.
CREATE TABLE index_build (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  target TEXT NOT NULL, -- empty: one is wanted and not begun
  last_message TEXT, -- application:chat:number; NULL before the first
  done INTEGER NOT NULL DEFAULT 0 -- messages until there
) STRICT;
INSERT INTO index_build (id, target) SELECT 1, name FROM search_indexes WHERE role = 'building';
