DROP TABLE IF EXISTS credential_changes;
DROP TABLE IF EXISTS user_revocations;
DROP TABLE IF EXISTS access_keys;
