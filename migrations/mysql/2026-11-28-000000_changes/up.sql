-- Changes of an application, in the order of their revisions. MySQL has no ADD INDEX IF NOT EXISTS, and a migration that was cut
-- off runs again. Building an index locks out no writes.
SET @change = (
  SELECT IF(COUNT(*) = 0, 'ALTER TABLE messages ADD INDEX by_revision (app, revision)', 'DO 0')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'messages' AND index_name = 'by_revision'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
SET @change = (
  SELECT IF(COUNT(*) = 0, 'ALTER TABLE chats ADD INDEX by_revision (app, revision)', 'DO 0')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'chats' AND index_name = 'by_revision'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The parts of the history: one for each epoch. An epoch number that is given twice, because the database was restored from a
-- backup, has another mark.
CREATE TABLE IF NOT EXISTS history (
  epoch BIGINT NOT NULL PRIMARY KEY,
  mark BIGINT NOT NULL COMMENT 'random',
  start BIGINT NOT NULL COMMENT 'the last revision given out before it, if it continues',
  continues BOOLEAN NOT NULL COMMENT 'what was accepted up to there was kept',
  begun BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'Redis has it: before that, nothing is accepted in it',
  UNIQUE KEY by_mark (mark)
);
