-- Restarts the time of a lease. ARGV: kind:token, lease in ms
if not redis.call('ZSCORE', p .. 'leases', ARGV[1]) then return {'lost'} end
redis.call('ZADD', p .. 'leases', now() + ARGV[2], ARGV[1])
return {'ok'}
