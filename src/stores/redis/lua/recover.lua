-- Gives back what dead claimers held: how many jobs, and how many were given up. ARGV: leases at most in this call
local recovered, dead = 0, 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', now(), 'LIMIT', 0, ARGV[1])) do
  local kind, again = string.match(name, '^[^:]+'), {}
  local held = redis.call('SMEMBERS', p .. 'lease:' .. name)
  table.sort(held)
  for _, id in ipairs(held) do
    recovered = recovered + 1
    local crashes = redis.call('HINCRBY', p .. 'crashes', id, 1)
    if crashes >= 3 then
      redis.call('HSET', p .. 'errors', id, 'three claimers died over this job, the last time over it alone')
      redis.call('ZADD', p .. 'dead', now(), id)
      dead = dead + 1
    elseif crashes == 2 then
      redis.call('LPUSH', p .. 'alone:' .. kind, id)
    else
      table.insert(again, id)
    end
  end
  give_back(kind, again)
  redis.call('DEL', p .. 'lease:' .. name)
  redis.call('ZREM', p .. 'leases', name)
end
return {'ok', int(recovered), int(dead)}
