-- wake: how many may be claimed now, when to look again, and the tokens for those who sleep.
--
-- No client ever pushes a token; a token only says "look". See docs/design.md, "Waiting".

local LOOK_AGAIN_MIN_MS = 1 -- a lane keeps its own timer: this is no time-out of a pop
local LOOK_AGAIN_MAX_MS = 60000
local OTHERS_LATER_MS = 3000 -- who does not hold the timer looks this much after its target
local TIMER_DEAD_MS = 1000 -- a timer this far past has no living holder

-- How many jobs may be claimed now, and when a closed rate opens.
local function claim_room(m, now)
  if m.paused then
    return 0
  end
  local room, opens_at = rate_room(m, now)
  if m.max_active then
    room = math.min(room, m.max_active - redis.call('HLEN', key.leases))
  end
  return room, opens_at
end

-- When somebody has to look, though nothing happens until then; nil: no need.
local function target_of(m, opens_at, next_due)
  if m.paused then
    return nil
  end
  if opens_at and ((next_due and next_due <= opens_at) or any_free(m) or has_free('0')) then
    return opens_at
  end
  return next_due
end

-- Who of the waiting workers looks at the target, and when this one looks again, in ms. One of
-- them holds the timer and is told the target exactly; the others are told a little later.
local function keep_timer(m, now, waits, shy, opens_at, next_due)
  local mine = m.timer_by == arg.worker
  local target = waits and target_of(m, opens_at, next_due)
  if target and not shy
    and (mine or not m.timer_at or m.timer_at > target or m.timer_at < now - TIMER_DEAD_MS) then
    if not mine or m.timer_at ~= target then
      m.timer_at, m.timer_by = target, arg.worker
      redis.call('HSET', key.meta, 'timer_at', target, 'timer_by', arg.worker)
    end
    return math.max(LOOK_AGAIN_MIN_MS, math.min(target - now, LOOK_AGAIN_MAX_MS))
  end
  if mine then
    m.timer_at, m.timer_by = nil, nil
    redis.call('HDEL', key.meta, 'timer_at', 'timer_by')
  end
  if target then
    return math.max(LOOK_AGAIN_MIN_MS, math.min(target + OTHERS_LATER_MS - now, LOOK_AGAIN_MAX_MS))
  end
  return LOOK_AGAIN_MAX_MS
end

-- A token into a list that has none; whether it had none.
local function push_token(list)
  return redis.call('LLEN', list) == 0 and redis.call('LPUSH', list, '1') == 1
end

-- The fragment that ends every script, before its turn number. `idle`: an empty step, which had
-- a free slot, handed in nothing and claimed nothing: what it could not take, its like cannot.
-- Returns whether jobs were free that no token stood for.
local function wake_up(m, now, idle, shy)
  local room, opens_at = claim_room(m, now)
  local lost = room > 0 and not idle and has_free('0') and push_token(key.wake0)
  if redis.call('LLEN', key.wake) > 0 then
    return lost
  end
  local next_due = earliest_due()
  local free = room > 0 and not idle and any_free(m)
  local wanted = free or (room > 0 and not idle and next_due and next_due <= now)
  if not wanted and not (idle and shy) then
    local target = target_of(m, opens_at, next_due)
    wanted = target
      and (not m.timer_at or m.timer_at > target or m.timer_at < now - TIMER_DEAD_MS)
  end
  if wanted then
    redis.call('LPUSH', key.wake, '1')
  end
  return lost or free
end
