-- Reads the newest write to each of some messages that is not stored yet.
-- ARGV: for each message its chat, <app>:<chat>, and its number
-- Returns epoch and time, then one text for each message:
--   ''                          nothing is queued
--   'missing'                   its application or chat is deleted
--   'ok <id> <payload>'         the newest write
--   'counter <id> <payload>'    the same; whether application and chat are deleted is not known in this epoch
local parents, found = {}, {'ok', EPOCH, int(now())}

-- The epoch of a chat's counter, and whether the chat or its application is deleted.
local function parent_of(chat)
  local parent = parents[chat]
  if not parent then
    local epoch, deleted = unpack(redis.call('HMGET', p .. 'chat:' .. chat, 'epoch', 'deleted'))
    parent = {epoch, deleted or redis.call('HGET', p .. 'app:' .. string.sub(chat, 1, 8), 'deleted')}
    parents[chat] = parent
  end
  return parent
end

for i = 1, #ARGV, 2 do
  local chat, number, newest = ARGV[i], ARGV[i + 1], ''
  local parent = parent_of(chat)
  if parent[2] then
    newest = 'missing'
  else
    -- Members of one score sort by id, so the last is the newest.
    local id = redis.call('ZREVRANGEBYSCORE', p .. 'pending:' .. chat, number, number, 'LIMIT', 0, 1)[1]
    local payload = id and redis.call('HGET', p .. 'jobs', id)
    if payload then newest = (parent[1] == EPOCH and 'ok ' or 'counter ') .. id .. ' ' .. payload end
  end
  found[#found + 1] = newest
end
return found
