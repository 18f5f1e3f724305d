-- judge: whose lease has run out, and whether anybody may be judged at all.

local ROWS_MAX = 1000 -- live workers looked at in one call

-- The number in `meta` under `field`, written there.
local function mark(field, value)
  redis.call('HSET', key.meta, field, string.format('%.0f', value))
end

-- True for one caller in every `every_ms`: gives a chore to one process.
local function due_once(now, field, every_ms)
  local at = tonumber(redis.call('HGET', key.meta, field) or 0)
  if at > now and at <= now + every_ms then
    return false
  end
  mark(field, now + every_ms)
  return true
end

-- Nobody is judged for one lease after Redis's time jumped: more than half a lease between two
-- beats of anybody (a silence, too: the reaper has just connected), or back.
local function may_judge(now, lease_ms)
  local v = redis.call('HMGET', key.meta, 'beat_at', 'judge_from')
  local last, from = tonumber(v[1] or 0), tonumber(v[2] or 0)
  mark('beat_at', now)
  if now < last or now - last > lease_ms / 2 then
    if last > 0 then
      redis.call('HINCRBY', key.stats, 'clock_jumps', 1)
    end
    from = now + lease_ms
    mark('judge_from', from)
  elseif from > now + lease_ms then
    from = now + lease_ms -- written before the clock went back
    mark('judge_from', from)
  end
  return now >= from
end

-- The workers that were not heard of for a whole lease; a dead one whose reap was not taken further
-- for as long is named again. A time in the future is written back as now: merely read as now, a
-- dead worker would look fresh until the clock catches up.
local function silent_workers(now, lease_ms)
  local rows, silent = redis.call('HGETALL', key.turns), {}
  for i = 1, math.min(#rows, ROWS_MAX * 2), 2 do
    local turn, at = string.match(rows[i + 1], '^(-?%d+):(%d+)')
    if tonumber(at) > now then
      redis.call('HSET', key.turns, rows[i], string.format('%s:%.0f', turn, now))
    elseif now - tonumber(at) > lease_ms then
      silent[#silent + 1] = rows[i]
    end
  end
  return silent
end
