DROP INDEX jobs_applications;
DROP INDEX applications_by_revision;
