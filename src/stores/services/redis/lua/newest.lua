-- Reads the newest write to each of some messages that is not stored yet: id, payload, or two empty strings, for each.
-- ARGV: for each message its sorted set without prefix, and its number
local found = {'ok'}
for i = 1, #ARGV, 2 do
  -- Members of one score sort by id, so the last is the newest.
  local id = redis.call('ZREVRANGEBYSCORE', p .. ARGV[i], ARGV[i + 1], ARGV[i + 1], 'LIMIT', 0, 1)[1]
  found[#found + 1] = id or ''
  found[#found + 1] = id and redis.call('HGET', p .. 'jobs', id) or ''
end
return found
