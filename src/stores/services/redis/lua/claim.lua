-- Claims waiting jobs of a kind, isolated ones first, then the oldest. Returns epoch, then id, tries, payload, id …; only
-- the epoch if no job waits or the kind is paused.
-- ARGV: kind, token, jobs at most, bytes at most, lease in ms
local kind, token, limit, bytes_left = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local epoch = redis.call('GET', p .. 'epoch')
if not epoch then return {'epoch'} end
if redis.call('SISMEMBER', p .. 'paused', kind) == 1 then return {'ok', epoch} end
local time = now()

local delayed = p .. 'delayed:' .. kind
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', time, 'LIMIT', 0, limit)
if #due > 0 then
  redis.call('ZREM', delayed, unpack(due))
  return_to_queue(kind, due)
end

local ids, queue = {}, p .. 'queue:' .. kind
local isolated = redis.call('RPOP', p .. 'alone:' .. kind)
if isolated then
  ids = {isolated}
else
  local waiting = redis.call('LRANGE', queue, -limit, -1)
  for i = #waiting, 1, -1 do
    bytes_left = bytes_left - redis.call('HSTRLEN', p .. 'jobs', waiting[i])
    if bytes_left < 0 and #ids > 0 then break end
    table.insert(ids, waiting[i])
  end
  if #ids > 0 then redis.call('LTRIM', queue, 0, -(#ids + 1)) end
end
if #ids == 0 then return {'ok', epoch} end
-- Jobs that returned at different times are not in order.
table.sort(ids)

redis.call('SADD', p .. 'lease:' .. kind .. ':' .. token, unpack(ids))
redis.call('ZADD', p .. 'leases', time + ARGV[5], kind .. ':' .. token)
local payloads, tries = redis.call('HMGET', p .. 'jobs', unpack(ids)), redis.call('HMGET', p .. 'tries', unpack(ids))
local claimed = {'ok', epoch}
for i, id in ipairs(ids) do
  table.insert(claimed, id)
  table.insert(claimed, tries[i] or '0')
  table.insert(claimed, payloads[i] or '')
end
return claimed
