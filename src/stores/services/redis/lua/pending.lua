-- Reads the newest write to each number of a page that is not stored yet.
-- ARGV: the application, the chat ('' for a page of chats), after, before ('-inf', '+inf', or '(' and a number), limit, '1' from
-- the end, and the size in bytes: the payload that exceeds it is the last one.
-- Returns status, epoch and time, then id, payload, id, payload … The status is
--   ok
--   missing    the application or chat is deleted
--   counter    whether it is deleted is not known in this epoch
local app, chat, low, high, limit, from_the_end = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1'
local bytes, app_key = tonumber(ARGV[7]), p .. 'app:' .. app
local name = chat == '' and app or app .. ':' .. chat
local epoch, deleted = unpack(redis.call('HMGET', chat == '' and app_key or p .. 'chat:' .. name, 'epoch', 'deleted'))
if deleted or chat ~= '' and redis.call('HGET', app_key, 'deleted') then return {'missing'} end

local key, found = p .. 'pending:' .. name, {'ok', EPOCH, int(now())}
for _ = 1, limit do
  local edge
  if from_the_end then
    edge = redis.call('ZREVRANGEBYSCORE', key, high, low, 'WITHSCORES', 'LIMIT', 0, 1)
  else
    edge = redis.call('ZRANGEBYSCORE', key, low, high, 'WITHSCORES', 'LIMIT', 0, 1)
  end
  local number = edge[2]
  if not number then break end
  -- Members of one score sort by id, so the last is the newest.
  local id = from_the_end and edge[1] or redis.call('ZREVRANGEBYSCORE', key, number, number, 'LIMIT', 0, 1)[1]
  table.insert(found, id)
  local payload = redis.call('HGET', p .. 'jobs', id) or ''
  table.insert(found, payload)
  bytes = bytes - #payload
  if bytes < 0 then break end
  if from_the_end then high = '(' .. number else low = '(' .. number end
end
if #found > 3 and epoch ~= EPOCH then found[1] = 'counter' end
return found
