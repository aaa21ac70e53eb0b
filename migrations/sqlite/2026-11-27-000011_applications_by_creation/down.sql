DROP INDEX applications_by_creation;
