-- Claims waiting jobs of a kind, isolated ones first, then the oldest. Returns epoch, then id, tries, payload, id …; only
-- the epoch if no job waits or the kind is paused. A claim whose response was lost is repeated with the same token.
-- ARGV: kind, token, jobs at most, bytes at most, lease in ms
local kind, token, limit, bytes_left = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time, lease = now(), kind .. ':' .. token

-- Leases these jobs, and returns them.
local function claimed(ids)
  -- Jobs that returned at different times are not in order.
  table.sort(ids)
  redis.call('SADD', p .. 'lease:' .. lease, unpack(ids))
  redis.call('ZADD', p .. 'leases', time + ARGV[5], lease)
  local payloads, tries = redis.call('HMGET', p .. 'jobs', unpack(ids)), redis.call('HMGET', p .. 'tries', unpack(ids))
  local jobs = {'ok', EPOCH}
  for i, id in ipairs(ids) do
    table.insert(jobs, id)
    table.insert(jobs, tries[i] or '0')
    table.insert(jobs, payloads[i] or '')
  end
  return jobs
end

if redis.call('ZSCORE', p .. 'leases', lease) then return claimed(redis.call('SMEMBERS', p .. 'lease:' .. lease)) end
if redis.call('SISMEMBER', p .. 'paused', kind) == 1 then return {'ok', EPOCH} end

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
if #ids == 0 then return {'ok', EPOCH} end
return claimed(ids)
