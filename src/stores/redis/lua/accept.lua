-- Accepts one write: does what it belongs to exist, which number does it get, queue it.
-- ARGV: kind, app, chat, message number (of an update), the payload without its opening brace, queue depth, dead letters
local kind, app, chat, target, draft = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local epoch = redis.call('GET', p .. 'epoch')
if not epoch then return {'epoch'} end

local dead = redis.call('ZCARD', p .. 'dead')
if dead >= tonumber(ARGV[7]) then return {'full', 'limits.dead_letters'} end
if redis.call('HLEN', p .. 'jobs') - dead >= tonumber(ARGV[6]) then return {'full', 'limits.queue_depth'} end

local scope, pending -- the hash that counts, and the sorted set that finds this write by its number
if kind == 'create_application' then
  if redis.call('EXISTS', p .. 'app:' .. app) == 1 then return {'taken'} end
else
  scope = kind == 'create_chat' and p .. 'app:' .. app or p .. 'chat:' .. app .. ':' .. chat
  local counter = redis.call('HMGET', scope, 'epoch', 'n')
  if counter[1] ~= epoch then return {'counter', epoch} end
  if kind == 'update_message' and tonumber(target) > tonumber(counter[2]) then return {'missing'} end
  pending = kind == 'create_chat' and p .. 'pending:' .. app or p .. 'pending:' .. app .. ':' .. chat
end

local id = string.format('%06x%010x', epoch, redis.call('INCR', p .. 'revision'))
local number, created = target, ''
if kind == 'create_application' then
  redis.call('HSET', p .. 'app:' .. app, 'epoch', epoch, 'n', 0, 'job', id)
  number = '0'
elseif kind == 'update_message' then
  -- Who reads this write before it is stored wants to know since when the message exists.
  local first = redis.call('ZRANGEBYSCORE', pending, target, target, 'LIMIT', 0, 1)[1]
  if first then
    local write = cjson.decode(redis.call('HGET', p .. 'jobs', first))
    local since = write.created or (write.kind == 'create_message' and write.at)
    if since then created = '"created":' .. int(since) .. ',' end
  end
else
  number = int(redis.call('HINCRBY', scope, 'n', 1))
  if kind == 'create_chat' then redis.call('HSET', p .. 'chat:' .. app .. ':' .. number, 'epoch', epoch, 'n', 0) end
end
if pending then redis.call('ZADD', pending, number, id) end
redis.call('HSET', p .. 'jobs', id,
  '{"v":1,"at":' .. int(now()) .. ',"number":' .. number .. ',' .. created .. draft)
redis.call('LPUSH', p .. 'queue:' .. kind, id)
return {'ok', number, id}
