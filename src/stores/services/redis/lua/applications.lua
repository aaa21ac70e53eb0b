-- Reads applications that are not stored yet, in the order of their acceptance: revision of the last accepted write, then
-- id, payload, id, payload …
-- ARGV: after, before ('-', '+', or '(' and an id), limit, '1' from the end
local key, limit = p .. 'pending_applications', ARGV[3]
local ids
if ARGV[4] == '1' then
  ids = redis.call('ZREVRANGEBYLEX', key, ARGV[2], ARGV[1], 'LIMIT', 0, limit)
else
  ids = redis.call('ZRANGEBYLEX', key, ARGV[1], ARGV[2], 'LIMIT', 0, limit)
end
local last = string.format('%06x%010x', EPOCH, tonumber(redis.call('GET', p .. 'revision') or 0))
local found = {'ok', last}
for _, id in ipairs(ids) do
  local payload = redis.call('HGET', p .. 'jobs', id)
  if payload then
    found[#found + 1] = id
    found[#found + 1] = payload
  end
end
return found
