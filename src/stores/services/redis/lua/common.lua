-- Beginning of every script. KEYS[1] is the prefix of all keys of this installation. The scripts build the other keys
-- from it, so they need one Redis (replicas are possible), not a cluster.
--
--   epoch                      hash: epoch, raised whenever this Redis may have lost data; server = replication ID of the
--                              server on which it began; format, see src/stores/format.rs; unverified = counters of epochs before
--                              this one may be above what MySQL holds. Missing: Redis was emptied. Programs
--                              before format 2 keep a string here, and the server in the key master
--   revision                   counter of accepted writes
--   app:<app>                  hash: epoch, n = chats given out, last = id of the last write, job = its creation while that is
--                              not stored; deleted_chats = deleted chats that MySQL holds, missing while that is not known; deletions_stored = time since
--                              which facts about their number are refused; deleted, keep, idle: see below
--   chat:<app>:<chat>          hash: epoch, n = messages given out; deleted = id of the job that deletes it; keep = 1: MySQL does
--                              not hold that number, because an older program discarded a job, or because MySQL was set
--                              back; idle = since when, and with which epoch and n, it was not used
--   mark:<app>:<chat>:<n>      revision and 'present' or 'gone': the last stored update or the deletion of a message, for 60 s
--   key:<id>                   idempotency key: number of what was created, and the hash of its body, '-' if it is deleted. Until
--                              60 s after that is stored
--   eviction                   hash: cursor and due time of the next call of evict.lua
--   jobs                       hash: id -> payload, for every accepted write that is not stored yet
--   pending:<app>              sorted set: ids of chats not stored yet, by chat number
--   pending:<app>:<chat>       sorted set: ids of writes to messages not stored yet, by message number
--   changes:<app>              sorted set: ids of writes to chats and messages not stored yet, all of score 0
--   pending_applications       sorted set: ids of creations of applications not stored yet, all of score 0
--   queue:<kind>               list of ids, the oldest at the right end
--   alone:<kind>               list of ids whose claimers crashed twice, claimed one at a time
--   delayed:<kind>             sorted set: ids to retry, by due time
--   lease:<kind>:<token>       set: ids of one claim
--   leases                     sorted set: <kind>:<token>, by the time when the claim ends
--   tries, crashes, errors     hash: id -> failures; crashed claimers; last error
--   dead                       sorted set: ids of dead letters, by the time of their last failure
--   dead_kinds                 hash: id of a dead letter -> its kind, cached when it is first counted
--   paused                     set: paused kinds
local p = KEYS[1]
-- The last argument of every script is the offset of its caller's clock in milliseconds, which only tests set.
local clock_offset = tonumber(table.remove(ARGV))

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000) + clock_offset
end

-- Plain decimal: Lua would write large numbers as 1.7639e+12.
local function int(n) return string.format('%.0f', n) end

-- Time in ms for which a fact from the rows can be used, and for which a mark shows what was stored since it was requested.
local FACT_LIFETIME, MARK_LIFETIME = 30000, 60000

-- Tells whether a counter of an epoch may be above what MySQL holds, though no job is pending: MySQL was set back since, or a
-- program before format 2 discarded jobs.
local function is_unverified(epoch)
  local before = redis.call('HGET', p .. 'epoch', 'unverified')
  return before and tonumber(epoch or 0) < tonumber(before)
end

-- Keeps the last revision of an application, by which followers notice a change.
local function set_last(app, id) redis.call('HSET', p .. 'app:' .. app, 'last', id) end

-- The kind that a payload names. Its text comes last, and quotes in it are escaped.
local function kind_of(payload) return payload and string.match(payload, '"kind":"([^"]+)"') or '' end

-- Tells whether the job with a payload deletes something.
local function is_deletion(payload) return string.sub(kind_of(payload), 1, 7) == 'delete_' end

-- Returns ids to the front of their queue, the oldest first; jobs whose claimers crashed twice stay isolated.
-- Ids sort in the order of acceptance.
local function return_to_queue(kind, ids)
  table.sort(ids, function(a, b) return a > b end)
  for _, id in ipairs(ids) do
    local crashes = tonumber(redis.call('HGET', p .. 'crashes', id) or 0)
    redis.call('RPUSH', p .. (crashes < 2 and 'queue:' or 'alone:') .. kind, id)
  end
end

-- EPOCH, SERVER and FORMAT are part of this text: the epoch, the replication ID of the server on which it began, and the
-- format that the program knows. A server gets a new ID when it restarts and when it becomes the master. Another ID, or a
-- replica: newer data may be elsewhere.
do
  local info = redis.call('INFO', 'replication')
  -- Fails on the string of a program before format 2.
  local state = redis.pcall('HMGET', p .. 'epoch', 'epoch', 'format')
  if tonumber(state[2] or 0) > FORMAT then return {'newer', state[2]} end
  if string.match(info, 'role:(%l+)') ~= 'master' or (string.match(info, 'master_replid:(%x+)') or '') ~= SERVER
    or state[1] ~= EPOCH or tonumber(state[2]) ~= FORMAT then
    return {'epoch'}
  end
end
