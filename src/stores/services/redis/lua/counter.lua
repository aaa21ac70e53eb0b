-- Reads the counter of an application or chat, and the creation of an application that is not stored yet.
-- ARGV: application, and its chat or ''
-- Returns the numbers given out, deleted ones left out; of an application, also id and payload of its creation.
local app_key, chat = p .. 'app:' .. ARGV[1], ARGV[2]
local key = chat == '' and app_key or p .. 'chat:' .. ARGV[1] .. ':' .. chat
local epoch, given, job, deleted, deleted_chats = unpack(redis.call('HMGET', key, 'epoch', 'n', 'job', 'deleted', 'deleted_chats'))
if deleted or chat ~= '' and redis.call('HGET', app_key, 'deleted') then return {'missing'} end
if epoch ~= EPOCH or chat == '' and not deleted_chats then return {'counter', EPOCH, int(now())} end
local payload = job and redis.call('HGET', p .. 'jobs', job)
return {'ok', int(given - (deleted_chats or 0)), payload and job or '', payload or ''}
