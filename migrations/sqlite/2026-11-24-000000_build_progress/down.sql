DROP TABLE index_build;
