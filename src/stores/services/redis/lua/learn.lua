-- Raises the counter of an application or chat to what is stored, once an epoch.
-- ARGV: the key without prefix, the epoch in which the fact was requested, the time at which it was requested, then what is
-- stored: 'missing', 'deleted', or the highest number; number of deleted chats, of an application
local key, highest = p .. ARGV[1], tonumber(ARGV[4])
-- Meanwhile the counter may have been used and evicted, which takes longer.
if EPOCH ~= ARGV[2] or math.abs(now() - ARGV[3]) > FACT_LIFETIME then return {'outdated'} end
local epoch, given, stored_since = unpack(redis.call('HMGET', key, 'epoch', 'n', 'deletions_stored'))
if ARGV[4] == 'deleted' then
  -- Of what does not exist in Redis, nothing is kept: anyone can ask for it.
  if epoch then redis.call('HSET', key, 'deleted', 1) end
  return {'missing'}
end
if not epoch and not highest then return {'missing'} end
highest = highest or 0
if epoch ~= EPOCH then
  -- MySQL does not hold the highest number that was given out.
  if epoch and is_unverified(epoch) and tonumber(given) > highest then redis.call('HSET', key, 'keep', 1) end
  redis.call('HSET', key, 'epoch', EPOCH, 'n', int(math.max(tonumber(given or 0), highest)))
end
-- A fact that was requested before a deletion was stored does not count that deletion.
if ARGV[5] and tonumber(ARGV[3]) > tonumber(stored_since or 0) then redis.call('HSET', key, 'deleted_chats', ARGV[5]) end
return {'ok'}
