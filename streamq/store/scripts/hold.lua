-- hold: a schedule is paused, or goes on from now.
--
-- From     (any)                        To   (same)
-- Bound    one schedule
-- KEYS     leases delayed wake wake0 meta schedules wait
-- ARGV     now name paused
-- USES     clock lines rate wake
-- RETURNS  now, 1 if that changed anything
-- ERRORS   LAYOUT; STATE: no such schedule

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local state = redis.call('HGET', key.schedules, arg.name)
if not state then
  return redis.error_reply('STATE absent')
end
local last, fired, missed, paused, last_id = string.match(state, '^(%d+) (%d+) (%d+) (%d) (.*)$')
if paused == arg.paused then
  return { now, 0 }
end
-- A delete first: a full Redis then lets the rest pass.
redis.call('HDEL', key.schedules, '')
-- What was due while it was paused was passed over, not missed: it goes on from now.
if arg.paused == '0' then
  last = string.format('%.0f', math.max(tonumber(last), now))
end
redis.call('HSET', key.schedules, arg.name,
  string.format('%s %s %s %s %s', last, fired, missed, arg.paused, last_id))
wake_up(m, now, false, false)
return { now, 1 }
