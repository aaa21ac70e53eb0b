-- The order of the list of applications.
CREATE INDEX applications_by_creation ON applications (created_at, id);
