ALTER TABLE applications DROP INDEX by_creation;
