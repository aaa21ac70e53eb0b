-- Returns the jobs of a lease to their queue, without counting a failure. ARGV: kind:token, kind
local lease = p .. 'lease:' .. ARGV[1]
if redis.call('ZREM', p .. 'leases', ARGV[1]) == 0 then return {'lost'} end
return_to_queue(ARGV[2], redis.call('SMEMBERS', lease))
redis.call('DEL', lease)
return {'ok'}
