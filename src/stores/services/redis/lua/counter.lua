-- Reads the counter of an application or chat, and the creation of an application that is not stored yet.
-- ARGV: the key without prefix
local counter = redis.call('HMGET', p .. ARGV[1], 'epoch', 'n', 'job')
if counter[1] ~= EPOCH then return {'counter', EPOCH, int(now())} end
local payload = counter[3] and redis.call('HGET', p .. 'jobs', counter[3])
return {'ok', counter[2], payload and counter[3] or '', payload or ''}
