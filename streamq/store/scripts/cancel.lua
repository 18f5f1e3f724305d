-- cancel: a job shall not run, or not go on running.
--
-- From     waiting, delayed, parked     To   failed (an active one is flagged, and its worker told)
-- Bound    one job
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels wake wake0 meta stats
--          events logs wait
-- ARGV     now id run_before run keep_failed channel only
--          (only: a state, in another nothing is done; '': in any)
-- USES     clock lines rate places enqueue count tell finish wake
-- RETURNS  now, word: flagged, cancelled; nothing done: absent, or the state it is in
-- ERRORS   LAYOUT; AGAIN: the run is not `run_before` any more, read it and come again

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local record = redis.call('HGET', key.jobs, arg.id)
if not record then
  return { now, 'absent' }
end
local state, member = state_of(arg.id, record)
if state == 'completed' or state == 'failed' or (arg.only ~= '' and arg.only ~= state) then
  return { now, state }
end
if state == 'active' then
  -- Settle, claim and reap obey the flag; the message is so that it happens within a second.
  -- A job that shall be removed stays to be removed.
  redis.call('HSETNX', key.cancels, arg.id, 'c')
  redis.call('PUBLISH', arg.channel, arg.id)
  return { now, 'flagged' }
end
if (redis.call('HGET', key.runs, arg.id) or '') ~= arg.run_before then
  return redis.error_reply('AGAIN ' .. arg.id)
end

redis.call('HDEL', key.stalls, arg.id)
redis.call('HSET', key.runs, arg.id, arg.run)
if state == 'waiting' then
  -- Its entry stays in the line and is dropped when a worker is given it: the ticket is changed.
  redis.call('HSET', key.jobs, arg.id, draw_ticket() .. string.sub(record, 7))
  redis.call('HINCRBY', key.meta, 'dead', 1)
elseif state == 'delayed' then
  redis.call('ZREM', key.delayed, member)
else
  redis.call('ZREM', key.parked, arg.id)
end
redis.call('ZADD', key.failed, now, arg.id)
trim(key.failed, arg.keep_failed)
count('failed', 1)
count('cancelled', 1)
tell({ 'failed', arg.id }, 1)
wake_up(m, now, false, false)
return { now, 'cancelled' }
