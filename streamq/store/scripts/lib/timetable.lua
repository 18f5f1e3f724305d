-- timetable: where a schedule is. One value: last slot seen to, fired, missed, paused, what its slots
-- are computed from, a slot that waits for the job before it (0: none), the newest job's id (-: none).

-- Nil for one that nobody declared, and for a value that nobody of us wrote: it is declared anew.
local function read_schedule(name)
  local value = redis.call('HGET', key.schedules, name)
  local last, fired, missed, paused, timing, owed, id =
    string.match(value or '', '^(%d+) (%d+) (%d+) ([01]) (%x+) (%d+) (%S+)$')
  if last then
    return {
      value = value,
      last = tonumber(last),
      fired = tonumber(fired),
      missed = tonumber(missed),
      paused = paused == '1',
      timing = timing,
      owed = tonumber(owed),
      last_id = id,
    }
  end
end

-- Writes it, unless nothing changed.
local function keep_schedule(name, s)
  local value = string.format('%.0f %.0f %.0f %s %s %.0f %s', s.last, s.fired, s.missed,
    s.paused and 1 or 0, s.timing, s.owed, s.last_id)
  if value ~= s.value then
    redis.call('HSET', key.schedules, name, value)
    s.value = value
  end
end
