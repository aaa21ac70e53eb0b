-- Stops or resumes the claiming of a kind. ARGV: kind, '1' to stop
redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', p .. 'paused', ARGV[1])
return {'ok', '1'}
