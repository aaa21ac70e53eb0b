-- Reads the number of chats of applications: '' where there is no counter, 'unknown' where the number of deleted chats is not
-- known, 'deleted' of a deleted application. A counter of an earlier epoch is still right: what it counts may be queued.
-- ARGV: applications
local counts = {'ok'}
for _, app in ipairs(ARGV) do
  local given, deleted_chats, deleted = unpack(redis.call('HMGET', p .. 'app:' .. app, 'n', 'deleted_chats', 'deleted'))
  counts[#counts + 1] = deleted and 'deleted' or not given and '' or not deleted_chats and 'unknown' or int(given - deleted_chats)
end
return counts
