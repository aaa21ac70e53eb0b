-- Accepts writes, one after the other: checks that the parent exists, assigns a number, queues the job.
-- ARGV: queue depth, dead letters, then for each write: kind, app, chat, message number (of an
-- update), the payload's members without the opening brace. A kind is named <action>_<entity>.
-- Returns three values for each: ok, number, id; or a reason and its details.
--
-- Shared state is read and written once for all writes, at the end or before a write that must see it.
local dead = redis.call('ZCARD', p .. 'dead')
local full = dead >= tonumber(ARGV[2]) and 'limits.dead_letters'
local capacity = tonumber(ARGV[1]) - (redis.call('HLEN', p .. 'jobs') - dead)
local at, last = int(now()), redis.call('INCRBY', p .. 'revision', (#ARGV - 2) / 5)
local id_format, left = string.format('%06x', EPOCH) .. '%010x', (#ARGV - 2) / 5

-- Of each counter {epoch, numbers given out, changed}; of each sorted set number, id …; of all jobs id, payload …; of
-- each kind its ids.
local counters, pending, jobs, queues = {}, {}, {}, {}

local function flush()
  for counter_key, counter in pairs(counters) do
    if counter[3] then redis.call('HSET', counter_key, 'n', int(counter[2])) end
    counter[3] = false
  end
  for key, members in pairs(pending) do redis.call('ZADD', key, unpack(members)) end
  if #jobs > 0 then redis.call('HSET', p .. 'jobs', unpack(jobs)) end
  for kind, ids in pairs(queues) do redis.call('LPUSH', p .. 'queue:' .. kind, unpack(ids)) end
  pending, jobs, queues = {}, {}, {}
end

local function add(lists, key, ...)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  for _, value in ipairs({...}) do list[#list + 1] = value end
end

local function enqueue(kind, app, chat, target, members)
  left = left - 1
  full = full or capacity <= 0 and 'limits.queue_depth'
  local action, entity = string.match(kind, '^(%l+)_(%l+)$')
  local counter_key, found_by, counter
  if entity == 'application' then
    counter_key = p .. 'app:' .. app
    if not full and redis.call('EXISTS', counter_key) == 1 then return 'taken', '' end
  else
    counter_key = entity == 'chat' and p .. 'app:' .. app or p .. 'chat:' .. app .. ':' .. chat
    found_by = entity == 'chat' and p .. 'pending:' .. app or p .. 'pending:' .. app .. ':' .. chat
    counter = counters[counter_key]
    if not counter then
      local read = redis.call('HMGET', counter_key, 'epoch', 'n')
      counter = {read[1], tonumber(read[2]), false}
      counters[counter_key] = counter
    end
    if counter[1] ~= EPOCH then return 'counter', EPOCH, at end
    if action == 'update' and tonumber(target) > counter[2] then return 'missing', '' end
  end

  -- Existence first: a client that retries must not wait for what will never be there.
  if full then return 'full', full end

  local id, number, created = string.format(id_format, last - left), target, ''
  if entity == 'application' then
    redis.call('HSET', counter_key, 'epoch', EPOCH, 'n', 0, 'job', id)
    number = '0'
    add(pending, p .. 'pending_applications', 0, id)
  elseif action == 'update' then
    -- Readers of this write before it is stored need the creation time and the sender of the message.
    flush()
    local first = redis.call('ZRANGEBYSCORE', found_by, target, target, 'LIMIT', 0, 1)[1]
    if first then
      local write = cjson.decode(redis.call('HGET', p .. 'jobs', first))
      local since = write.created or (string.match(write.kind, '^create_') and write.at)
      if since then created = '"created":' .. int(since) .. ',' end
      if write.sender then created = created .. '"sender":' .. cjson.encode(write.sender) .. ',' end
    end
  else
    counter[2], counter[3] = counter[2] + 1, true
    number = int(counter[2])
    if entity == 'chat' then redis.call('HSET', p .. 'chat:' .. app .. ':' .. number, 'epoch', EPOCH, 'n', 0) end
  end
  if found_by then add(pending, found_by, number, id) end
  jobs[#jobs + 1] = id
  jobs[#jobs + 1] = '{"at":' .. at .. ',"number":' .. number .. ',' .. created .. members
  add(queues, kind, id)
  capacity = capacity - 1
  return 'ok', number, id
end

local outcomes = {'ok'}
for i = 3, #ARGV, 5 do
  local status, number, id = enqueue(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  outcomes[#outcomes + 1] = status
  outcomes[#outcomes + 1] = number
  outcomes[#outcomes + 1] = id or ''
end
flush()
return outcomes
