-- Discards a dead letter and its pending entry; other writes to the same item stay. Before the creation of something is
-- discarded, its deletion is accepted; before an update, another one. A deletion is not discarded. ARGV: id
local id = ARGV[1]
if redis.call('ZREM', p .. 'dead', id) == 0 then return {'ok', '0'} end
local payload = redis.call('HGET', p .. 'jobs', id) or ''
local app, chat = string.match(payload, '"app":"(%x+)"') or '', string.match(payload, '"chat":(%d+)')
local app_key, kind = p .. 'app:' .. app, kind_of(payload)
if kind == 'create_application' then redis.call('ZREM', p .. 'pending_applications', id) end
if redis.call('HGET', app_key, 'job') == id then redis.call('HDEL', app_key, 'job') end
redis.call('ZREM', p .. 'pending:' .. app .. (chat and ':' .. chat or ''), id)
redis.call('ZREM', p .. 'changes:' .. app, id)
for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors'}) do redis.call('HDEL', p .. hash, id) end
redis.call('HDEL', p .. 'dead_kinds', id)
return {'ok', '1'}
