-- Reads the counter of an application or chat, and the creation of an application that is not stored yet.
-- ARGV: the key without prefix
local epoch = redis.call('GET', p .. 'epoch')
if not epoch then return {'epoch'} end
local scope = redis.call('HMGET', p .. ARGV[1], 'epoch', 'n', 'job')
if scope[1] ~= epoch then return {'counter', epoch} end
local payload = scope[3] and redis.call('HGET', p .. 'jobs', scope[3])
return {'ok', scope[2], payload and scope[3] or '', payload or ''}
