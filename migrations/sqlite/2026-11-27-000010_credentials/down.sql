DROP TABLE credential_changes;
DROP TABLE user_revocations;
DROP TABLE access_keys;
