#!lua flags=allow-oom
-- Sets the epoch, unless a later one has begun. Not loaded: it runs before the scripts of the epoch exist.
-- Takes over what a program of an older format left: its scripts fail from here on, and everything else stays as it is.
-- KEYS: prefix; ARGV: epoch, server that must be this one, format, 1 if counters of earlier epochs may be above what MySQL holds
local info = redis.call('INFO', 'replication')
if string.match(info, 'role:(%l+)') ~= 'master' or (string.match(info, 'master_replid:(%x+)') or '') ~= ARGV[2] then
  return 'other server'
end
local key = KEYS[1] .. 'epoch'
local epoch, format, unverified
if redis.call('TYPE', key).ok == 'string' then
  epoch = redis.call('GET', key)
else
  epoch, format, unverified = unpack(redis.call('HMGET', key, 'epoch', 'format', 'unverified'))
end
if tonumber(format or 0) > tonumber(ARGV[3]) then return 'newer format' end
if tonumber(epoch or 0) >= tonumber(ARGV[1]) then return 'later epoch' end
-- Programs before format 3 did not list the changes of an application.
if tonumber(format or 0) < 3 then
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', KEYS[1] .. 'jobs', cursor, 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local app, number = string.match(page[2][i + 1], '"app":"(%x+)"'), string.match(page[2][i + 1], '"number":(%d+)')
      if app and number and number ~= '0' then redis.call('ZADD', KEYS[1] .. 'changes:' .. app, 0, page[2][i]) end
    end
  until cursor == '0'
end
redis.call('DEL', key, KEYS[1] .. 'master')
redis.call('HSET', key, 'epoch', ARGV[1], 'server', ARGV[2], 'format', ARGV[3])
if ARGV[4] == '1' then unverified = ARGV[1] end
if unverified then redis.call('HSET', key, 'unverified', unverified) end
return 'ok'
