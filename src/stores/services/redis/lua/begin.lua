#!lua flags=allow-oom
-- Sets the epoch, unless a later one has begun. Not loaded: it runs before the scripts of the epoch exist.
-- KEYS: prefix; ARGV: epoch, server that must be this one
local info = redis.call('INFO', 'replication')
if string.match(info, 'role:(%l+)') ~= 'master' or (string.match(info, 'master_replid:(%x+)') or '') ~= ARGV[2] then
  return 'other server'
end
if tonumber(redis.call('GET', KEYS[1] .. 'epoch') or 0) >= tonumber(ARGV[1]) then return 'later epoch' end
redis.call('MSET', KEYS[1] .. 'epoch', ARGV[1], KEYS[1] .. 'master', ARGV[1] .. ' ' .. ARGV[2])
return 'ok'
