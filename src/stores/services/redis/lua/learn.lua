-- Raises the counter of an application or chat to what is stored, once an epoch.
-- ARGV: the key without prefix, the epoch that the highest number was read in, that number or -1 if nothing is stored
local key, highest = p .. ARGV[1], tonumber(ARGV[3])
if EPOCH ~= ARGV[2] then return {'epoch'} end
local own = redis.call('HMGET', key, 'epoch', 'n')
if not own[1] and highest < 0 then return {'missing'} end
if own[1] ~= EPOCH then
  redis.call('HSET', key, 'epoch', EPOCH, 'n', int(math.max(tonumber(own[2] or 0), highest)))
end
return {'ok'}
