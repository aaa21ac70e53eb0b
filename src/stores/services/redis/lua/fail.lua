-- Records that a job failed. ARGV: kind:token, kind, id, error, ms until the next attempt or -1 for the dead letters
local lease, kind, id = p .. 'lease:' .. ARGV[1], ARGV[2], ARGV[3]
if not redis.call('ZSCORE', p .. 'leases', ARGV[1]) or redis.call('SREM', lease, id) == 0 then return {'lost'} end
redis.call('HINCRBY', p .. 'tries', id, 1)
redis.call('HSET', p .. 'errors', id, ARGV[4])
if tonumber(ARGV[5]) < 0 then
  redis.call('ZADD', p .. 'dead', now(), id)
else
  redis.call('ZADD', p .. 'delayed:' .. kind, now() + ARGV[5], id)
end
if redis.call('SCARD', lease) == 0 then redis.call('ZREM', p .. 'leases', ARGV[1]) end
return {'ok'}
