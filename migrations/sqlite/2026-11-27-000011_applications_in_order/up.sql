-- The list of applications, in the order in which they were accepted: rows, and creations that are not stored yet.
CREATE INDEX applications_by_revision ON applications (revision, id);
CREATE INDEX jobs_applications ON jobs (kind) WHERE kind = 'create_application';
