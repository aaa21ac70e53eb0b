DROP TABLE index_build_progress;
