-- At most one row: the ID by which search indices are known as this installation's, and whether indices that older
-- programs made without it have been marked. Programs that do not know the table ignore it.
CREATE TABLE IF NOT EXISTS installation (
  id BIGINT NOT NULL,
  name CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  indices_adopted BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (id)
);
