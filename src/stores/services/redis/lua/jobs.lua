-- Reads each of these jobs that exists: id, state, due, tries, crashes, error, payload.
-- ARGV: '1' for whole payloads, else they end before the text; then the ids
local leases = redis.call('ZRANGE', p .. 'leases', 0, -1)

local function state(id, kind)
  local since = redis.call('ZSCORE', p .. 'dead', id)
  if since then return 'dead', since end
  local due = redis.call('ZSCORE', p .. 'delayed:' .. kind, id)
  if due then return 'delayed', due end
  for _, name in ipairs(leases) do
    if string.match(name, '^[^:]+') == kind and redis.call('SISMEMBER', p .. 'lease:' .. name, id) == 1 then
      return 'leased', ''
    end
  end
  return 'waiting', ''
end

local result = {'ok'}
for i = 2, #ARGV do
  local id, payload = ARGV[i], redis.call('HGET', p .. 'jobs', ARGV[i])
  if payload then
    local where, due = state(id, kind_of(payload))
    local text = ARGV[1] ~= '1' and string.find(payload, ',"text":', 1, true)
    for _, value in ipairs({
      id, where, due, redis.call('HGET', p .. 'tries', id) or '0', redis.call('HGET', p .. 'crashes', id) or '0',
      redis.call('HGET', p .. 'errors', id) or '', text and string.sub(payload, 1, text - 1) or payload,
    }) do table.insert(result, value) end
  end
end
return result
