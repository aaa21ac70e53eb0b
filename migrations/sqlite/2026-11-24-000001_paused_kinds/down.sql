DROP INDEX jobs_dead;
DROP TABLE paused_kinds;
