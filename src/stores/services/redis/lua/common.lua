-- What every script begins with. KEYS[1] is the prefix of all keys of this installation; the scripts build the others
-- from it, so they want one Redis (with replicas, if you like), not a cluster.
--
--   epoch                      raised whenever this Redis may have lost something; missing: it was emptied
--   revision                   counter of accepted writes
--   app:<app>                  hash: epoch, n = chats given out, job = its creation while that is not stored
--   chat:<app>:<chat>          hash: epoch, n = messages given out
--   jobs                       hash: id -> payload, for every accepted write that is not stored yet
--   pending:<app>              sorted set: ids of chats not stored yet, by chat number
--   pending:<app>:<chat>       sorted set: ids of writes to messages not stored yet, by message number
--   queue:<kind>               list of ids, the oldest at the right end
--   alone:<kind>               list of ids whose claimer died twice, claimed one at a time
--   delayed:<kind>             sorted set: ids to try again, by the time from when on
--   lease:<kind>:<token>       set: ids in one claimer's hands
--   leases                     sorted set: <kind>:<token>, by the time when the claim ends
--   tries, crashes, errors     hash: id -> failures by its own fault; claimers that died over it; what was said last
--   dead                       sorted set: ids of dead letters, by the time when they were given up
--   dead_kinds                 hash: id of a dead letter -> its kind, of those that were counted once
--   paused                     set: kinds that are not to be claimed
local p = KEYS[1]

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Plain decimal: Lua would write large numbers as 1.7639e+12.
local function int(n) return string.format('%.0f', n) end

-- The kind that a payload names. Its text comes last, and quotes in it are escaped.
local function kind_of(payload) return payload and string.match(payload, '"kind":"([^"]+)"') or '' end

-- Gives ids back to the front of their queue, the oldest to be claimed first; what two claimers died over stays alone.
-- Ids sort in the order of acceptance.
local function return_to_queue(kind, ids)
  table.sort(ids, function(a, b) return a > b end)
  for _, id in ipairs(ids) do
    local crashes = tonumber(redis.call('HGET', p .. 'crashes', id) or 0)
    redis.call('RPUSH', p .. (crashes < 2 and 'queue:' or 'alone:') .. kind, id)
  end
end
