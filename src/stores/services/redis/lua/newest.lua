-- Reads the newest write to each of some messages that is not stored yet.
-- ARGV: for each message its application, chat and number
-- Returns epoch and time, then for each message: status, id, payload. The last two are empty if there is none. The status is
--   ok
--   missing    its application or chat is deleted
--   counter    whether these are deleted is not known in this epoch
local parents, found = {}, {'ok', EPOCH, int(now())}

-- The epoch of a chat's counter, and whether the chat or its application is deleted.
local function parent_of(app, chat)
  local name = app .. ':' .. chat
  local parent = parents[name]
  if not parent then
    local epoch, deleted = unpack(redis.call('HMGET', p .. 'chat:' .. name, 'epoch', 'deleted'))
    parent = {epoch, deleted or redis.call('HGET', p .. 'app:' .. app, 'deleted')}
    parents[name] = parent
  end
  return parent
end

for i = 1, #ARGV, 3 do
  local app, chat, number = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  -- Members of one score sort by id, so the last is the newest.
  local id = redis.call('ZREVRANGEBYSCORE', p .. 'pending:' .. app .. ':' .. chat, number, number, 'LIMIT', 0, 1)[1]
  local parent = parent_of(app, chat)
  found[#found + 1] = parent[2] and 'missing' or id and parent[1] ~= EPOCH and 'counter' or 'ok'
  found[#found + 1] = id or ''
  found[#found + 1] = id and redis.call('HGET', p .. 'jobs', id) or ''
end
return found
