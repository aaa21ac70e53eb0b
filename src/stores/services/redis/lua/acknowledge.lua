-- Removes stored jobs. What was looked up before they were stored is outdated: marks show that for a time.
-- ARGV: kind:token, then for each job its id, the key of its pending entry, its number, the key of its idempotency key or ''
local lease = p .. 'lease:' .. ARGV[1]
if not redis.call('ZSCORE', p .. 'leases', ARGV[1]) then return {'lost'} end
if #ARGV == 1 then return {'ok'} end
local ids = {}
for i = 2, #ARGV, 4 do ids[#ids + 1] = ARGV[i] end
local held = redis.call('SMISMEMBER', lease, unpack(ids))

local action, entity = string.match(ARGV[1], '^(%l+)_(%l+):')
-- The creation of a message is the first write to it, so there is no older pending write.
local is_first = action == 'create'
local done, found_by, letters, newest, apps, changes = {}, {}, {}, {}, {}, {}
for k, id in ipairs(ids) do
  if held[k] == 1 then
    local pending, number, key = p .. ARGV[4 * k - 1], ARGV[4 * k], ARGV[4 * k + 1]
    done[#done + 1] = id
    if number == '0' then
      if redis.call('HGET', pending, 'job') == id then redis.call('HDEL', pending, 'job') end
      redis.call('ZREM', p .. 'pending_applications', id)
    else
      local superseded = found_by[pending] or {}
      found_by[pending] = superseded
      superseded[#superseded + 1] = id
      local key = p .. 'changes:' .. string.match(ARGV[4 * k - 1], '^pending:(%x+)')
      local stored = changes[key] or {}
      changes[key] = stored
      stored[#stored + 1] = id
      if not is_first then
        -- Older writes are superseded: if they stayed, readers would take one for the newest pending write.
        for _, other in ipairs(redis.call('ZRANGEBYSCORE', pending, number, number)) do
          if other < id then
            superseded[#superseded + 1] = other
            -- A dead letter would keep what was deleted.
            if action == 'delete' and redis.call('ZREM', p .. 'dead', other) == 1 then
              letters[#letters + 1] = other
              stored[#stored + 1] = other
            end
          end
        end
        local owner = string.sub(ARGV[4 * k - 1], #'pending:' + 1)
        if entity == 'message' then
          local mark = p .. 'mark:' .. owner .. ':' .. number
          if not newest[mark] or newest[mark] < id then newest[mark] = id end
        else
          apps[p .. 'app:' .. owner] = true
        end
      end
    end
    if key ~= '' then
      if action == 'delete' then
        redis.call('SET', p .. key, number .. ' -', 'PX', MARK_LIFETIME)
      else
        redis.call('PEXPIRE', p .. key, MARK_LIFETIME)
      end
    end
  end
end

for mark, revision in pairs(newest) do
  -- A deletion wins, and an older write may be acknowledged later.
  local marked, state = string.match(redis.call('GET', mark) or '', '^(%x+) (%l+)$')
  if marked and marked > revision then revision = marked end
  if action == 'delete' then state = 'gone' end
  redis.call('SET', mark, revision .. ' ' .. (state or 'present'), 'PX', MARK_LIFETIME)
end
for app in pairs(apps) do
  redis.call('HDEL', app, 'deleted_chats')
  redis.call('HSET', app, 'deletions_stored', int(now()))
end

-- Calls with at most as many values as Lua can unpack.
local function in_parts(values, call)
  for i = 1, #values, 1000 do call(unpack(values, i, math.min(i + 999, #values))) end
end
for pending, superseded in pairs(found_by) do
  in_parts(superseded, function(...) redis.call('ZREM', pending, ...) end)
end
for key, stored in pairs(changes) do
  in_parts(stored, function(...) redis.call('ZREM', key, ...) end)
end
in_parts(done, function(...) redis.call('SREM', lease, ...) end)
in_parts(letters, function(...) redis.call('HDEL', p .. 'dead_kinds', ...) end)
for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors'}) do
  in_parts(done, function(...) redis.call('HDEL', p .. hash, ...) end)
  in_parts(letters, function(...) redis.call('HDEL', p .. hash, ...) end)
end
if redis.call('SCARD', lease) == 0 then redis.call('ZREM', p .. 'leases', ARGV[1]) end
return {'ok'}
