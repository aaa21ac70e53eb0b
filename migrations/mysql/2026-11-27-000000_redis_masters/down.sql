DROP TABLE redis_masters;
