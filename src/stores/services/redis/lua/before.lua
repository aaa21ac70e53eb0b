-- Reads the last write to a message before another write that is not stored yet.
-- ARGV: chat, <app>:<chat>; number; id of the other write
-- Returns id and payload; nothing if there is none.
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', p .. 'pending:' .. ARGV[1], ARGV[2], ARGV[2])) do
  local payload = id < ARGV[3] and redis.call('HGET', p .. 'jobs', id)
  if payload then return {'ok', id, payload} end
end
return {'ok'}
