-- Evicts idle counters. A call looks at some keys, from where the last call ended. What is left to do is kept in Redis, so
-- that all processes share the work.
-- A counter is idle if its number has not changed for a time, and no job of it waits, is leased, delayed or dead. MySQL then
-- holds the number. The first call that sees the counter so marks it with the time, a later one removes it. That of a deleted
-- application stays, as it shows that for all its chats, until the application is erased.
-- ARGV: idle time in ms, keys in a call, pause in ms after a call, pause after the last key
-- Returns the number of removed counters, the time in ms until the next call, and idle counters that must first be compared
-- with MySQL.
local time, state, idle = now(), p .. 'eviction', tonumber(ARGV[1])
local last = redis.call('HMGET', state, 'cursor', 'due')
local wait = tonumber(last[2] or 0) - time
-- If the clock was set back, a wait would be too long.
if wait > 0 and wait <= tonumber(ARGV[4]) then return {'ok', '0', int(wait)} end

-- Tells whether a counter is in use: it holds what MySQL does not.
local function is_in_use(app, chat, counter)
  if counter[3] or counter[4] then return true end
  if not chat then return counter[6] or redis.call('EXISTS', p .. 'pending:' .. app) == 1 end
  return redis.call('EXISTS', p .. 'pending:' .. app .. ':' .. chat) == 1
    or redis.call('ZCOUNT', p .. 'pending:' .. app, chat, chat) > 0
end

local examined, marked, removed, unverified = 0, 0, 0, {}
local function look_at(key, app, chat)
  examined = examined + 1
  local counter = redis.call('HMGET', key, 'epoch', 'n', 'job', 'keep', 'idle', 'deleted')
  if is_in_use(app, chat, counter) then return end
  local since, number = string.match(counter[5] or '', '^(%d+) (.*)$')
  local current = (counter[1] or '') .. ' ' .. (counter[2] or '')
  if number ~= current or tonumber(since) > time then
    redis.call('HSET', key, 'idle', int(time) .. ' ' .. current)
    marked = marked + 1
  elseif time - since < idle then
    return
  elseif is_unverified(counter[1]) and not counter[6] then
    unverified[#unverified + 1] = string.sub(key, #p + 1)
  else
    redis.call('UNLINK', key)
    -- Without an epoch it held only the application's last revision.
    if counter[1] then removed = removed + 1 end
  end
end

-- The prefix may contain characters that have a meaning in a pattern.
local prefix = string.gsub(p, '[%*%?%[%]\\]', '\\%0')
local page = redis.call('SCAN', last[1] or '0', 'MATCH', prefix .. '[ac]*', 'COUNT', ARGV[2])
for _, key in ipairs(page[2]) do
  local name = string.sub(key, #p + 1)
  local app, chat = string.match(name, '^chat:(%x+):(%d+)$')
  app = app or string.match(name, '^app:(%x+)$')
  if app and #app == 8 then look_at(key, app, chat) end
end
-- The pause gets shorter with the share of counters that were changed, as many become idle then. The shortest is long enough
-- for the requests of clients.
local changed = marked + removed
wait = changed == 0 and page[1] == '0' and tonumber(ARGV[4])
  or math.max(10, tonumber(ARGV[3]) * (1 - 10 * changed / math.max(1, examined)))
redis.call('HSET', state, 'cursor', page[1], 'due', int(time + wait))
return {'ok', int(removed), int(wait), unpack(unverified)}
