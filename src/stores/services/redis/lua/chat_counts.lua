-- Reads how many chats applications have been given; '' where there is no counter. One of an
-- earlier epoch is still right: what it counts may be queued. ARGV: applications
local counts = {'ok'}
for _, app in ipairs(ARGV) do
  counts[#counts + 1] = redis.call('HGET', p .. 'app:' .. app, 'n') or ''
end
return counts
