-- Reads ids from a list, sorted set or set. ARGV: the key without prefix, from and to which position (a set comes whole)
local key, from, to = p .. ARGV[1], ARGV[2], ARGV[3]
local kind, ids = redis.call('TYPE', key).ok, {}
if kind == 'list' then
  ids = redis.call('LRANGE', key, from, to)
elseif kind == 'zset' then
  ids = redis.call('ZRANGE', key, from, to)
elseif kind == 'set' and from == '0' then
  ids = redis.call('SMEMBERS', key)
end
table.insert(ids, 1, 'ok')
return ids
