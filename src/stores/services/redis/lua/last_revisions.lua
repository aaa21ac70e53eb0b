-- Reads the last revision of each of some applications. ARGV: applications
-- Returns for each the id of the last write; '' if it is not known.
local last = {'ok'}
for _, app in ipairs(ARGV) do last[#last + 1] = redis.call('HGET', p .. 'app:' .. app, 'last') or '' end
return last
