-- Counts the jobs of each kind: waiting, leased, delayed, dead, age of the oldest waiting in ms, paused or not.
-- ARGV: the kinds
local time, leased, dead, counts = now(), {}, {}, {'ok'}
for _, name in ipairs(redis.call('ZRANGE', p .. 'leases', 0, -1)) do
  local kind = string.match(name, '^[^:]+')
  leased[kind] = (leased[kind] or 0) + redis.call('SCARD', p .. 'lease:' .. name)
end
-- The payload of a dead letter, which may be long, is read once, and its kind is cached. A dead letter without an entry is
-- new, or is of an older version without this cache, which may also have left stale entries.
local letters, kinds = redis.call('ZRANGE', p .. 'dead', 0, -1), p .. 'dead_kinds'
if redis.call('HLEN', kinds) > #letters then redis.call('DEL', kinds) end
for first = 1, #letters, 1000 do
  local ids = {unpack(letters, first, math.min(first + 999, #letters))}
  for i, kind in ipairs(redis.call('HMGET', kinds, unpack(ids))) do
    if not kind then
      kind = kind_of(redis.call('HGET', p .. 'jobs', ids[i]))
      redis.call('HSET', kinds, ids[i], kind)
    end
    dead[kind] = (dead[kind] or 0) + 1
  end
end
for _, kind in ipairs(ARGV) do
  local oldest = redis.call('LINDEX', p .. 'queue:' .. kind, -1)
  local payload = oldest and redis.call('HGET', p .. 'jobs', oldest)
  local at = payload and string.match(payload, '"at":(%d+)')
  for _, count in ipairs({
    redis.call('LLEN', p .. 'queue:' .. kind) + redis.call('LLEN', p .. 'alone:' .. kind),
    leased[kind] or 0, redis.call('ZCARD', p .. 'delayed:' .. kind), dead[kind] or 0, at and time - at or 0,
    redis.call('SISMEMBER', p .. 'paused', kind),
  }) do table.insert(counts, int(count)) end
end
return counts
