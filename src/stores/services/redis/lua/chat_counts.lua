-- Reads how many chats applications have been given; '' where there is no counter of this epoch. ARGV: applications
local counts = {'ok'}
for _, app in ipairs(ARGV) do
  local counter = redis.call('HMGET', p .. 'app:' .. app, 'epoch', 'n')
  counts[#counts + 1] = counter[1] == EPOCH and counter[2] or ''
end
return counts
