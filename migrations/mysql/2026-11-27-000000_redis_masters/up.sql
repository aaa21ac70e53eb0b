-- The Redis server that each process uses as master, so that no two servers take writes.
CREATE TABLE IF NOT EXISTS redis_masters (
  process CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  server VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  seen_at DATETIME(6) NOT NULL
);
