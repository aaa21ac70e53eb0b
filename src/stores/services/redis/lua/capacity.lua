-- Checks that a write would be accepted. Like enqueue, this script fails if Redis is out of memory.
-- ARGV: queue depth, dead letters
local dead = redis.call('ZCARD', p .. 'dead')
if dead >= tonumber(ARGV[2]) then return {'full', 'limits.dead_letters'} end
if redis.call('HLEN', p .. 'jobs') - dead >= tonumber(ARGV[1]) then return {'full', 'limits.queue_depth'} end
return {'ok'}
