-- Discards a dead letter and its pending entry; other writes to the same entity stay. ARGV: id
local id = ARGV[1]
if redis.call('ZREM', p .. 'dead', id) == 0 then return {'ok', '0'} end
local payload = redis.call('HGET', p .. 'jobs', id) or ''
local app, chat = string.match(payload, '"app":"(%x+)"') or '', string.match(payload, '"chat":(%d+)')
if kind_of(payload) == 'create_application' then
  if redis.call('HGET', p .. 'app:' .. app, 'job') == id then redis.call('HDEL', p .. 'app:' .. app, 'job') end
else
  redis.call('ZREM', p .. 'pending:' .. app .. (chat and ':' .. chat or ''), id)
end
for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors'}) do redis.call('HDEL', p .. hash, id) end
redis.call('HDEL', p .. 'dead_kinds', id)
return {'ok', '1'}
