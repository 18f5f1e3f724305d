-- declare: schedules of an app stand; those that nobody declares any more are retired.
--
-- From     (any)                        To   (same)
-- Bound    200 schedules a call
-- KEYS     leases delayed wake wake0 meta schedules rows wait
-- ARGV     now retire_ms silence_ms late_ms | n schedules: name, row, timing (hex)
-- USES     clock sections lines rate timetable wake
-- RETURNS  now, then for each schedule where it is (see timetable)
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local reply = { now }
-- A delete first: a full Redis then lets the rest pass.
redis.call('HDEL', key.rows, '')
for _ = 1, take_count() do
  local name, row, timing = unpack(ARGV, take(3))
  local schedule = read_schedule(name)
  if not schedule then
    -- New: from now on. What would have been due before it existed was never missed.
    schedule = { last = now, fired = 0, missed = 0, paused = false, timing = timing, owed = 0,
      last_id = '-' }
  elseif schedule.timing ~= timing then
    -- Other slots from now on: what they would have been before was never missed. Not those of the
    -- last moments, though: of the old ones, somebody may be about to fire them.
    schedule.timing = timing
    schedule.last = math.max(schedule.last, now - arg.late_ms)
  end
  keep_schedule(name, schedule)
  redis.call('HSET', key.rows, name, string.format('%013.0f', now) .. row)
  reply[#reply + 1] = schedule.value
end

-- After a silence (a standstill, or a jump of the clock) nobody could declare: the time in which one
-- has to begins anew.
local marks = redis.call('HMGET', key.meta, 'declared_at', 'retire_from')
local declared_at, retire_from = tonumber(marks[1] or 0), tonumber(marks[2] or 0)
if now < declared_at or now - declared_at > tonumber(arg.silence_ms)
  or retire_from > now + arg.retire_ms then
  retire_from = now + arg.retire_ms
end
redis.call('HSET', key.meta, 'declared_at', string.format('%.0f', now),
  'retire_from', string.format('%.0f', retire_from))
if now >= retire_from then
  local rows = redis.call('HGETALL', key.rows)
  for i = 1, #rows, 2 do
    if now - tonumber(string.sub(rows[i + 1], 1, 13)) > tonumber(arg.retire_ms) then
      redis.call('HDEL', key.rows, rows[i])
      redis.call('HDEL', key.schedules, rows[i])
    end
  end
end
wake_up(m, now, false, false)
return reply
