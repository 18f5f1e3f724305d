-- declare: schedules of an app stand; those that nobody declares any more are retired.
--
-- From     (any)                        To   (same)
-- Bound    200 schedules a call
-- KEYS     leases delayed wake wake0 meta schedules rows wait
-- ARGV     now retire_ms | n schedules: name, row
-- USES     clock sections lines rate wake
-- RETURNS  now, then for each schedule its state: last slot, fired, missed, paused, last id
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local reply = { now }
redis.call('HDEL', key.rows, '')
for _ = 1, take_count() do
  local name, row = ARGV[take(1)], ARGV[take(1)]
  local state = redis.call('HGET', key.schedules, name)
  if not state then
    -- New: from now on. What would have been due before it existed was never missed.
    state = string.format('%.0f 0 0 0 -', now)
    redis.call('HSET', key.schedules, name, state)
  end
  redis.call('HSET', key.rows, name, string.format('%013.0f', now) .. row)
  reply[#reply + 1] = state
end

-- After a jump of the clock nothing looks old for a lease.
if now >= tonumber(redis.call('HGET', key.meta, 'judge_from') or 0) then
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
