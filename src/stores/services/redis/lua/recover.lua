-- Recovers jobs of expired leases. Returns for each lease its kind, its number of jobs, and how many became dead letters.
-- ARGV: leases at most in this call
local result = {'ok'}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', now(), 'LIMIT', 0, ARGV[1])) do
  local kind, again, recovered, dead = string.match(name, '^[^:]+'), {}, 0, 0
  for _, id in ipairs(redis.call('SMEMBERS', p .. 'lease:' .. name)) do
    recovered = recovered + 1
    if redis.call('HINCRBY', p .. 'crashes', id, 1) < 3 then
      table.insert(again, id)
    else
      redis.call('HSET', p .. 'errors', id, 'three claimers crashed while they held this job')
      redis.call('ZADD', p .. 'dead', now(), id)
      dead = dead + 1
    end
  end
  return_to_queue(kind, again)
  redis.call('DEL', p .. 'lease:' .. name)
  redis.call('ZREM', p .. 'leases', name)
  for _, value in ipairs({kind, int(recovered), int(dead)}) do table.insert(result, value) end
end
return result
