-- Reads the newest write to each number of a page that is not stored yet: id, payload, id, payload …
-- ARGV: the sorted set without prefix, after, before ('-inf', '+inf', or '(' and a number), limit, '1' from the end, and the
-- size in bytes: the payload that exceeds it is the last one.
local key, low, high, limit, from_the_end = p .. ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local bytes = tonumber(ARGV[6])
local found = {'ok'}
for _ = 1, limit do
  local edge
  if from_the_end then
    edge = redis.call('ZREVRANGEBYSCORE', key, high, low, 'WITHSCORES', 'LIMIT', 0, 1)
  else
    edge = redis.call('ZRANGEBYSCORE', key, low, high, 'WITHSCORES', 'LIMIT', 0, 1)
  end
  local number = edge[2]
  if not number then break end
  -- Members of one score sort by id, so the last is the newest.
  local id = from_the_end and edge[1] or redis.call('ZREVRANGEBYSCORE', key, number, number, 'LIMIT', 0, 1)[1]
  table.insert(found, id)
  local payload = redis.call('HGET', p .. 'jobs', id) or ''
  table.insert(found, payload)
  bytes = bytes - #payload
  if bytes < 0 then break end
  if from_the_end then high = '(' .. number else low = '(' .. number end
end
return found
