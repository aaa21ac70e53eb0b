-- Keys, without their texts. Rows of revoked keys stay, so that no ID is used twice.
CREATE TABLE access_keys (
  id TEXT NOT NULL PRIMARY KEY,
  app TEXT, -- NULL: an installation key
  name TEXT NOT NULL,
  read_only INTEGER NOT NULL,
  hash BLOB NOT NULL, -- SHA-256 of "confab-key:" and the text
  signing_secret BLOB, -- SHA-256 of the text; NULL for installation keys and once revoked
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  last_used TEXT, -- a day in UTC: 2026-11-27
  change_number INTEGER NOT NULL -- of the last change, from credential_changes
) STRICT, WITHOUT ROWID;
CREATE INDEX access_keys_by_app ON access_keys (app, created_at);
CREATE INDEX access_keys_by_change ON access_keys (change_number);
CREATE INDEX access_keys_known ON access_keys (expires_at) WHERE revoked_at IS NULL;

CREATE TABLE user_revocations (
  app TEXT NOT NULL,
  user TEXT NOT NULL,
  issued_until INTEGER NOT NULL, -- tokens issued up to this second since 1970 are revoked
  change_number INTEGER NOT NULL,
  PRIMARY KEY (app, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_revocations_by_time ON user_revocations (issued_until);
CREATE INDEX user_revocations_by_change ON user_revocations (change_number);

-- One row: the number of the last change of a key or of a user's revocation.
CREATE TABLE credential_changes (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL
) STRICT;
INSERT INTO credential_changes (id, number) VALUES (1, 0);
