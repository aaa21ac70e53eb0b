-- Keys, without their texts. Rows of revoked keys stay, so that no ID is used twice.
CREATE TABLE IF NOT EXISTS access_keys (
  id CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'NULL: an installation key',
  name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  read_only BOOLEAN NOT NULL,
  hash BINARY(32) NOT NULL COMMENT 'SHA-256 of "confab-key:" and the text',
  signing_secret BINARY(32) NULL COMMENT 'SHA-256 of the text; NULL for installation keys and once revoked',
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NULL,
  revoked_at DATETIME(3) NULL,
  last_used DATE NULL COMMENT 'in UTC',
  change_number BIGINT NOT NULL COMMENT 'of the last change, from credential_changes',
  KEY by_app (app, created_at),
  KEY by_change (change_number),
  KEY known (revoked_at, expires_at)
);

-- The user as bytes: the text collations of MySQL that MariaDB has, too, ignore spaces at the end.
CREATE TABLE IF NOT EXISTS user_revocations (
  app CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user VARBINARY(1020) NOT NULL,
  issued_until BIGINT NOT NULL COMMENT 'tokens issued up to this second since 1970 are revoked',
  change_number BIGINT NOT NULL,
  PRIMARY KEY (app, user),
  KEY by_time (issued_until),
  KEY by_change (change_number)
);

-- One row: the number of the last change of a key or of a user's revocation. Its lock orders the changes.
CREATE TABLE IF NOT EXISTS credential_changes (
  id BIGINT NOT NULL PRIMARY KEY,
  number BIGINT NOT NULL
);
INSERT INTO credential_changes (id, number) VALUES (1, 0) ON DUPLICATE KEY UPDATE id = id;
