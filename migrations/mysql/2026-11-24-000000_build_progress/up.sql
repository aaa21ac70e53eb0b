-- How far a rebuild of the search index has come. By the index's name: a cursor ends with the index it belongs to.
-- An empty target in index_build stands for an index that is wanted and not begun.
CREATE TABLE IF NOT EXISTS index_build_progress (
  target VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  last_message VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'application:chat:number',
  done BIGINT NOT NULL COMMENT 'messages until there',
  PRIMARY KEY (target)
);
