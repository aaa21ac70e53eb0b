#!lua flags=no-writes
-- Reads epoch, server, format and the counter of accepted writes; each empty if there is none. Not loaded: it runs before the scripts of the epoch exist.
-- KEYS: prefix
local key = KEYS[1] .. 'epoch'
-- Programs before format 2 keep a string.
local last = redis.call('GET', KEYS[1] .. 'revision') or ''
if redis.call('TYPE', key).ok == 'string' then return {redis.call('GET', key), '', '1', last} end
local state = redis.call('HMGET', key, 'epoch', 'server', 'format')
return {state[1] or '', state[2] or '', state[3] or '', last}
