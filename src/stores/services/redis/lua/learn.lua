-- Raises the counter of an application or chat to what is stored, once an epoch.
-- ARGV: the key without prefix, the epoch in which the highest number was requested, that number or -1 if nothing is stored,
-- the time at which it was requested
local key, highest = p .. ARGV[1], tonumber(ARGV[3])
-- Meanwhile the counter may have been used and evicted, which takes longer than 30 s.
if EPOCH ~= ARGV[2] or math.abs(now() - ARGV[4]) > 30000 then return {'outdated'} end
local own = redis.call('HMGET', key, 'epoch', 'n')
if not own[1] and highest < 0 then return {'missing'} end
if own[1] ~= EPOCH then
  -- MySQL does not hold the highest number that was given out.
  if own[1] and is_unverified(own[1]) and tonumber(own[2]) > highest then redis.call('HSET', key, 'keep', 1) end
  redis.call('HSET', key, 'epoch', EPOCH, 'n', int(math.max(tonumber(own[2] or 0), highest)))
end
return {'ok'}
