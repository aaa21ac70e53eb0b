-- Discards a dead letter and its pending entry; other writes to the same entity stay. ARGV: id
local id = ARGV[1]
if redis.call('ZREM', p .. 'dead', id) == 0 then return {'ok', '0'} end
local payload = redis.call('HGET', p .. 'jobs', id) or ''
local app, chat = string.match(payload, '"app":"(%x+)"') or '', string.match(payload, '"chat":(%d+)')
local kind = kind_of(payload)
-- The number is given out, and MySQL does not hold it: its counter must stay.
local counter = kind == 'create_chat' and p .. 'app:' .. app or kind == 'create_message' and p .. 'chat:' .. app .. ':' .. (chat or '')
if counter and redis.call('EXISTS', counter) == 1 then redis.call('HSET', counter, 'keep', 1) end
if kind == 'create_application' then
  redis.call('ZREM', p .. 'pending_applications', id)
  if redis.call('HGET', p .. 'app:' .. app, 'job') == id then redis.call('HDEL', p .. 'app:' .. app, 'job') end
else
  redis.call('ZREM', p .. 'pending:' .. app .. (chat and ':' .. chat or ''), id)
end
for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors'}) do redis.call('HDEL', p .. hash, id) end
redis.call('HDEL', p .. 'dead_kinds', id)
return {'ok', '1'}
