ALTER TABLE applications DROP INDEX by_revision;
