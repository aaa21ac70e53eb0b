-- Moves a dead or delayed job back to its queue and resets its counters. ARGV: id
local id = ARGV[1]
local kind = kind_of(redis.call('HGET', p .. 'jobs', id))
if redis.call('ZREM', p .. 'dead', id) == 0 and redis.call('ZREM', p .. 'delayed:' .. kind, id) == 0 then
  return {'ok', '0'}
end
for _, hash in ipairs({'tries', 'crashes', 'errors'}) do redis.call('HDEL', p .. hash, id) end
redis.call('HDEL', p .. 'dead_kinds', id)
return_to_queue(kind, {id})
return {'ok', '1'}
