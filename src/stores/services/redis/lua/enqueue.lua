-- Accepts writes, one after the other: checks that what they are written into exists, looks for an earlier creation with the
-- same idempotency key, checks conditions, assigns a number, queues the job.
-- ARGV: queue depth, dead letters, then for each write: kind, app, chat, number (of what is updated or deleted), details,
-- fact, the payload's members without the opening brace. A kind is named <action>_<entity>. Details and fact are words, or '':
--   details of a creation with an idempotency key: the key's id, hash of the body
--   details of a change to a message: the revisions of which it must have one, separated by commas; '*' for any
--   fact: epoch and time of its request, then what MySQL holds:
--     of a key: number of what was created, and hash of the body, '-' if it is deleted; '- -' if the key is not stored
--     of a message: revision, and 'present' or 'gone'; '- gone' if the message is not stored
-- Returns epoch and time, of which all facts are requested, then three values for each write: status, number, id.
--
-- Shared state is read and written once for all writes, at the end or before a write that must see it.
local dead = redis.call('ZCARD', p .. 'dead')
local full = dead >= tonumber(ARGV[2]) and 'limits.dead_letters'
local capacity = tonumber(ARGV[1]) - (redis.call('HLEN', p .. 'jobs') - dead)
local time, left = now(), (#ARGV - 2) / 7
local at, last = int(time), redis.call('INCRBY', p .. 'revision', left)
local epoch_digits = string.format('%06x', EPOCH)
local id_format = epoch_digits .. '%010x'

-- Of each counter {epoch, numbers given out, changed, deleted}; of each application whether it is deleted; of each sorted
-- set number, id …; of all jobs id, payload …; of each kind its ids; of each idempotency key what was created with it; of those
-- that are new key, value …; of each application that changes the id of its last write.
local counters, deleted_apps, pending, jobs, queues, creations, new_keys, last_of = {}, {}, {}, {}, {}, {}, {}, {}

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

-- By the position of a creation in ARGV: its idempotency key, and the hash of its body.
local key_of, body_of = {}, {}
do
  local keys = {}
  for i = 3, #ARGV, 7 do
    local details = ARGV[i + 4]
    if details ~= '' and string.sub(ARGV[i], 1, 7) == 'create_' then
      local space = string.find(details, ' ', 1, true)
      local key = p .. 'key:' .. string.sub(details, 1, space - 1)
      key_of[i], body_of[i], keys[#keys + 1] = key, string.sub(details, space + 1), key
    end
  end
  local entries = #keys > 0 and redis.call('MGET', unpack(keys)) or {}
  for k, key in ipairs(keys) do creations[key] = entries[k] end
end

local function list_of(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end

local function add_pending(key, number, id)
  local members = list_of(pending, key)
  members[#members + 1] = number
  members[#members + 1] = id
end

-- Returns what a fact says; nothing if it is of another epoch or too old. What was acknowledged since its request still has
-- a mark.
local function fact_of(fact)
  local epoch, requested, one, two = string.match(fact, '^(%S+) (%S+) (%S+) (%S+)$')
  if epoch == EPOCH and math.abs(time - tonumber(requested)) <= FACT_LIFETIME then return one, two end
end

-- The newest write to a message that is known without the rows: revision, and 'present' or 'gone'. Nothing if there is none.
local function known_version(found_by, message, number)
  flush()
  local revision = redis.call('ZREVRANGEBYSCORE', found_by, number, number, 'LIMIT', 0, 1)[1]
  local state = revision and (is_deletion(redis.call('HGET', p .. 'jobs', revision)) and 'gone' or 'present')
  local mark = redis.call('GET', p .. 'mark:' .. message)
  if mark then
    local marked, marked_state = string.match(mark, '^(%x+) (%l+)$')
    if not revision or marked > revision then revision = marked end
    if state ~= 'gone' then state = marked_state end
  end
  return revision, state
end

-- The last accepted version of a message; nothing if it must be looked up.
local function version(found_by, message, number, fact)
  local revision, state = known_version(found_by, message, number)
  -- A write of this epoch was accepted when all earlier ones were known. Of earlier epochs, the rows may know more.
  if state == 'gone' or revision and string.sub(revision, 1, 6) == epoch_digits then return revision, state end
  local stored, stored_state = fact_of(fact)
  if not stored then return end
  if stored == '-' then return revision or '-', state or 'gone' end
  if not revision or stored > revision then revision = stored end
  return revision, stored_state
end

-- The status of a creation with an idempotency key: 'ok', or what became of an earlier creation with it, and its number.
local function earlier(key, body, fact, is_gone)
  local number, known_body
  local entry = creations[key]
  if entry then
    number, known_body = string.match(entry, '^(%S+) (%S+)$')
  else
    number, known_body = fact_of(fact)
  end
  if not number then return 'key', '' end
  if number == '-' then return 'ok' end
  if known_body == '-' or is_gone(number) then return 'replayed_deleted', '' end
  if known_body ~= body then return 'reused', '' end
  return 'replayed', number
end

-- The members of a payload that say what the queue knows of the creation of the same item.
local function creation_members(action, payload)
  local write, members = cjson.decode(payload), ''
  local is_creation = string.match(write.kind, '^create_')
  if action == 'delete' then
    -- The creation may never be stored. Its key must stay in use.
    if is_creation and write.idempotency then
      members = '"idempotency":"' .. write.idempotency .. '","body":"' .. write.body .. '",'
    end
    return members
  end
  -- Readers of an update before it is stored need the creation time and the sender of the message.
  local since = write.created or is_creation and write.at
  if since then members = '"created":' .. int(since) .. ',' end
  if write.sender then members = members .. '"sender":' .. cjson.encode(write.sender) .. ',' end
  return members
end

-- Returns a counter, read once.
local function counter_of(key)
  local counter = counters[key]
  if not counter then
    local read = redis.call('HMGET', key, 'epoch', 'n', 'deleted')
    counter = {read[1], tonumber(read[2]), false, read[3]}
    counters[key] = counter
  end
  return counter
end

local function is_app_deleted(app)
  local deleted = deleted_apps[app]
  if deleted == nil then
    deleted = redis.call('HGET', p .. 'app:' .. app, 'deleted')
    deleted_apps[app] = deleted
  end
  return deleted
end

local function enqueue(key, body, kind, app, chat, number, details, fact, members)
  left = left - 1
  full = full or capacity <= 0 and 'limits.queue_depth'
  local action, entity = string.match(kind, '^(%l+)_(%l+)$')
  local app_key = p .. 'app:' .. app
  local counter_key, found_by, counter
  if kind == 'create_application' then
    if not full and redis.call('EXISTS', app_key) == 1 then return 'taken', '' end
  else
    if entity == 'message' then
      counter_key, found_by = p .. 'chat:' .. app .. ':' .. chat, p .. 'pending:' .. app .. ':' .. chat
    elseif kind == 'delete_chat' then
      counter_key, found_by = p .. 'chat:' .. app .. ':' .. number, p .. 'pending:' .. app
    else
      counter_key, found_by = app_key, entity == 'chat' and p .. 'pending:' .. app
    end
    counter = counter_of(counter_key)
    -- Existence first: a client that retries must not wait for what will never be there.
    if counter[4] or counter_key ~= app_key and is_app_deleted(app) then return 'missing', '' end
    if counter[1] ~= EPOCH then return 'counter', '' end
    if entity == 'message' and action ~= 'create' then
      if tonumber(number) > counter[2] then return 'missing', '' end
      local revision, state = version(found_by, app .. ':' .. chat .. ':' .. number, number, fact)
      if not state then return 'version', '' end
      if state == 'gone' then return 'missing', '' end
      if details ~= '*' and not string.find(details, revision, 1, true) then return 'changed', '' end
    elseif key then
      local status, created = earlier(key, body, fact, function(created)
        if entity == 'chat' then return redis.call('HGET', p .. 'chat:' .. app .. ':' .. created, 'deleted') end
        local _, state = known_version(found_by, app .. ':' .. chat .. ':' .. created, created)
        return state == 'gone'
      end)
      if status ~= 'ok' then return status, created end
    end
  end
  if full then return 'full', full end

  local id, extra = string.format(id_format, last - left), ''
  if kind == 'create_application' then
    redis.call('HSET', app_key, 'epoch', EPOCH, 'n', 0, 'job', id, 'deleted_chats', 0)
    number = '0'
    add_pending(p .. 'pending_applications', 0, id)
  elseif action == 'create' then
    counter[2], counter[3] = counter[2] + 1, true
    number = int(counter[2])
    if entity == 'chat' then redis.call('HSET', p .. 'chat:' .. app .. ':' .. number, 'epoch', EPOCH, 'n', 0) end
    if key then
      creations[key] = number .. ' ' .. body
      new_keys[#new_keys + 1] = key
      new_keys[#new_keys + 1] = creations[key]
    end
  else
    if found_by then
      flush()
      local first = redis.call('ZRANGEBYSCORE', found_by, number, number, 'LIMIT', 0, 1)[1]
      if first then extra = creation_members(action, redis.call('HGET', p .. 'jobs', first)) end
    end
    if action == 'delete' and entity ~= 'message' then
      redis.call('HSET', counter_key, 'deleted', id)
      redis.call('HDEL', counter_key, 'idle')
      counter[4] = id
      if entity == 'application' then deleted_apps[app] = id end
    end
  end
  if found_by then
    add_pending(found_by, number, id)
    add_pending(p .. 'changes:' .. app, 0, id)
  end
  jobs[#jobs + 1] = id
  jobs[#jobs + 1] = '{"at":' .. at .. ',"number":' .. number .. ',' .. extra .. members
  local queue = list_of(queues, kind)
  queue[#queue + 1] = id
  capacity = capacity - 1
  last_of[app] = id
  return 'ok', number, id
end

local outcomes = {'ok', EPOCH, at}
for i = 3, #ARGV, 7 do
  local status, number, id = enqueue(key_of[i], body_of[i], unpack(ARGV, i, i + 6))
  outcomes[#outcomes + 1] = status
  outcomes[#outcomes + 1] = number
  outcomes[#outcomes + 1] = id or ''
end
flush()
for app, id in pairs(last_of) do set_last(app, id) end
if #new_keys > 0 then redis.call('MSET', unpack(new_keys)) end
return outcomes
