-- Gives out a revision for a change of an application that needs no job. ARGV: application
-- Returns the revision.
local id = string.format('%06x%010x', EPOCH, redis.call('INCR', p .. 'revision'))
set_last(ARGV[1], id)
return {'ok', id}
