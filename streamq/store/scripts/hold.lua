-- hold: a schedule is paused, or goes on from now.
--
-- From     (any)                        To   (same)
-- Bound    one schedule
-- KEYS     leases delayed wake wake0 meta schedules wait
-- ARGV     now name paused
-- USES     clock lines rate timetable wake
-- RETURNS  now, 1 if that changed anything
-- ERRORS   LAYOUT; STATE: no such schedule

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local schedule = read_schedule(arg.name)
if not schedule then
  return redis.error_reply('STATE absent')
end
local paused = arg.paused == '1'
if schedule.paused == paused then
  return { now, 0 }
end
-- A delete first: a full Redis then lets the rest pass.
redis.call('HDEL', key.schedules, '')
schedule.paused = paused
-- What was due while it was paused was passed over, not missed: it goes on from now.
if not paused then
  schedule.last = math.max(schedule.last, now)
end
keep_schedule(arg.name, schedule)
wake_up(m, now, false, false)
return { now, 1 }
