-- Removes stored jobs. ARGV: kind:token, then for each job its id, the key of its pending entry, its number
local lease = p .. 'lease:' .. ARGV[1]
if not redis.call('ZSCORE', p .. 'leases', ARGV[1]) then return {'lost'} end
if #ARGV == 1 then return {'ok'} end
local ids = {}
for i = 2, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
local held = redis.call('SMISMEMBER', lease, unpack(ids))

-- The creation of a message is the first write to it, so there is no older pending write.
local is_first = string.match(ARGV[1], '^create_')
local done, found_by = {}, {}
for k, id in ipairs(ids) do
  if held[k] == 1 then
    local pending, number = p .. ARGV[3 * k], ARGV[3 * k + 1]
    done[#done + 1] = id
    if number == '0' then
      if redis.call('HGET', pending, 'job') == id then redis.call('HDEL', pending, 'job') end
      redis.call('ZREM', p .. 'pending_applications', id)
    else
      local superseded = found_by[pending] or {}
      found_by[pending] = superseded
      superseded[#superseded + 1] = id
      if not is_first then
        -- Older writes are superseded: if they stayed, readers would take one for the newest pending write.
        for _, other in ipairs(redis.call('ZRANGEBYSCORE', pending, number, number)) do
          if other < id then superseded[#superseded + 1] = other end
        end
      end
    end
  end
end

-- Calls with at most as many values as Lua can unpack.
local function in_parts(values, call)
  for i = 1, #values, 1000 do call(unpack(values, i, math.min(i + 999, #values))) end
end
for pending, superseded in pairs(found_by) do
  in_parts(superseded, function(...) redis.call('ZREM', pending, ...) end)
end
in_parts(done, function(...) redis.call('SREM', lease, ...) end)
for _, hash in ipairs({'jobs', 'tries', 'crashes', 'errors'}) do
  in_parts(done, function(...) redis.call('HDEL', p .. hash, ...) end)
end
if redis.call('SCARD', lease) == 0 then redis.call('ZREM', p .. 'leases', ARGV[1]) end
return {'ok'}
