-- Reads the writes of an application that are not stored yet, in their order.
-- ARGV: application, id of the write after which they begin, number of them at most
-- Returns status, epoch, time, id of the last accepted write, then for each: id, chat ('0': the write is to a chat), number. The
-- status is
--   ok
--   missing    the application is deleted
--   counter    whether it exists is not known in this epoch
local app = ARGV[1]
local epoch, deleted = unpack(redis.call('HMGET', p .. 'app:' .. app, 'epoch', 'deleted'))
if deleted then return {'missing'} end
local last = tonumber(redis.call('GET', p .. 'revision') or 0)
local found = {epoch == EPOCH and 'ok' or 'counter', EPOCH, int(now()), string.format('%06x%010x', EPOCH, last)}
for _, id in ipairs(redis.call('ZRANGEBYLEX', p .. 'changes:' .. app, '(' .. ARGV[2], '+', 'LIMIT', 0, ARGV[3])) do
  local payload = redis.call('HGET', p .. 'jobs', id) or ''
  found[#found + 1] = id
  found[#found + 1] = string.match(payload, '"chat":(%d+)') or '0'
  found[#found + 1] = string.match(payload, '"number":(%d+)') or '0'
end
return found
