-- Forgets jobs that are stored. ARGV: kind:token, then for each job its id, what finds it while pending, its number
local lease = p .. 'lease:' .. ARGV[1]
if not redis.call('ZSCORE', p .. 'leases', ARGV[1]) then return {'lost'} end
local done = {}
for i = 2, #ARGV, 3 do
  local id, pending, number = ARGV[i], p .. ARGV[i + 1], ARGV[i + 2]
  if redis.call('SREM', lease, id) == 1 then
    table.insert(done, id)
    if number == '0' then
      if redis.call('HGET', pending, 'job') == id then redis.call('HDEL', pending, 'job') end
    else
      -- What is older is superseded: if it were still found, it would be read as the newest that is not stored.
      for _, other in ipairs(redis.call('ZRANGEBYSCORE', pending, number, number)) do
        if other <= id then redis.call('ZREM', pending, other) end
      end
    end
  end
end
if #done > 0 then
  for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors'}) do redis.call('HDEL', p .. hash, unpack(done)) end
end
if redis.call('SCARD', lease) == 0 then redis.call('ZREM', p .. 'leases', ARGV[1]) end
return {'ok'}
