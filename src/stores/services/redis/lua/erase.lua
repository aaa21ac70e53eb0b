-- Looks at some of all jobs for an erasure. ARGV: epoch and cursor of the last call ('0' at first), number of jobs, application,
-- chat ('': all), sender, and the id of the last job to look at.
-- Without a sender, removes the dead and delayed jobs of the chat or application, with their payloads and errors. The others
-- are dropped when they are stored. With a sender, returns the messages that it creates: chat, number, chat, number …
-- Returns epoch and cursor before that. Without arguments: id of the last accepted write, and the time.
if #ARGV == 0 then
  local last = tonumber(redis.call('GET', p .. 'revision') or 0)
  return {'ok', string.format('%06x%010x', EPOCH, last), int(now())}
end
local app, chat, sender = ARGV[4], ARGV[5], ARGV[6]

local function remove(id, kind, of_chat, number, payload)
  if redis.call('ZREM', p .. 'dead', id) + redis.call('ZREM', p .. 'delayed:' .. kind, id) == 0 then return end
  if number == '0' then
    redis.call('ZREM', p .. 'pending_applications', id)
    if redis.call('HGET', p .. 'app:' .. app, 'job') == id then redis.call('HDEL', p .. 'app:' .. app, 'job') end
  else
    redis.call('ZREM', p .. 'pending:' .. app .. (of_chat and ':' .. of_chat or ''), id)
    redis.call('ZREM', p .. 'changes:' .. app, id)
  end
  local key = string.match(payload, '"idempotency":"(%x+)"')
  if key then redis.call('DEL', p .. 'key:' .. key) end
  for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors', 'dead_kinds'}) do redis.call('HDEL', p .. hash, id) end
end

local found = {'ok', EPOCH}
-- A cursor of another server is none.
local page = redis.call('HSCAN', p .. 'jobs', ARGV[1] == EPOCH and ARGV[2] or '0', 'COUNT', ARGV[3])
found[3] = page[1]
for i = 1, #page[2], 2 do
  local id, payload = page[2][i], page[2][i + 1]
  if string.find(payload, '"app":"' .. app .. '"', 1, true) then
    local kind, of_chat = kind_of(payload), string.match(payload, '"chat":(%d+)')
    local number = string.match(payload, '"number":(%d+)') or '0'
    if sender ~= '' then
      local is_text, write = pcall(cjson.decode, payload)
      if kind == 'create_message' and id <= ARGV[7] and is_text and write.sender == sender then
        found[#found + 1] = of_chat
        found[#found + 1] = number
      end
    elseif chat == '' or chat == (of_chat or number) then
      remove(id, kind, of_chat, number, payload)
    end
  end
end
return found
