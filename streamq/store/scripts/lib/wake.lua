-- wake: how many may be claimed now, when to look again, and the tokens for those who sleep.
--
-- No client ever pushes a token; a token only says "look". See docs/design.md, "Waiting".

local LOOK_AGAIN_MIN_MS = 10 -- Redis 6.2 blocks for ever at 1 ms and less
local LOOK_AGAIN_MAX_MS = 60000
local OTHERS_LATER_MS = 3000 -- who does not hold the timer looks this much after its target
local TIMER_DEAD_MS = 1000 -- a timer this far past has no living holder

-- Whether entry id `a` is later than `b`.
local function later(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  return a_ms > b_ms or (a_ms == b_ms and tonumber(a_seq) > tonumber(b_seq))
end

-- The last entry of a line that its group gave out.
local function delivered_until(line)
  local group = redis.call('XINFO', 'GROUPS', key.wait[line])[1] or {}
  for i = 1, #group, 2 do
    if group[i] == 'last-delivered-id' then
      return group[i + 1]
    end
  end
  return '0-0'
end

-- Whether a line has an entry that nobody was given. Exact, and needs no counter that may drift.
local function has_free(line)
  if redis.call('XLEN', key.wait[line]) == 0 then
    return false
  end
  local top = redis.call('XREVRANGE', key.wait[line], '+', '-', 'COUNT', 1)[1][1]
  return later(top, delivered_until(line))
end

local function any_free(m)
  for line in string.gmatch(m.lines, '.') do
    if has_free(line) then
      return true
    end
  end
  return false
end

-- How many jobs the rate lets start now, and when it opens again if it is closed. `starts` is the
-- log of the window, "at:n at:n …" in 64 steps at most: never more than `max` starts in any window.
local function rate_room(m, now)
  if not m.rate then
    return math.huge
  end
  local max, window = string.match(m.rate, '^(%d+)/(%d+)$')
  max, window = tonumber(max), tonumber(window)
  local used, oldest, kept = 0, nil, {}
  for at, n in string.gmatch(m.starts, '(%d+):(%d+)') do
    if tonumber(at) + window > now and tonumber(at) <= now + window then
      used = used + tonumber(n)
      oldest = oldest or tonumber(at)
      kept[#kept + 1] = at .. ':' .. n
    end
  end
  m.starts = table.concat(kept, ' ')
  m.window = window
  if used >= max then
    return 0, oldest + window
  end
  return max - used
end

-- Writes `n` starts into the window's log. Starts of one 64th of a window stand together under
-- the latest of them, so they leave it late and never early.
local function rate_used(m, now, n)
  if not m.rate or n == 0 then
    return
  end
  local head, at, before = string.match(m.starts, '^(.-)(%d+):(%d+)$')
  if at and math.floor(tonumber(at) * 64 / m.window) == math.floor(now * 64 / m.window) then
    m.starts = string.format('%s%.0f:%.0f', head, math.max(now, tonumber(at)), before + n)
  else
    m.starts = string.format('%s %.0f:%.0f', m.starts, now, n)
  end
  redis.call('HSET', key.meta, 'starts', m.starts)
end

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
local function target_of(m, opens_at)
  if m.paused then
    return nil
  end
  local next_due = tonumber(redis.call('ZRANGE', key.delayed, 0, 0, 'WITHSCORES')[2])
  if opens_at and ((next_due and next_due <= opens_at) or any_free(m) or has_free('0')) then
    return opens_at
  end
  return next_due
end

-- Who of the waiting workers looks at the target, and when this one looks again, in ms. One of
-- them holds the timer and is told the target exactly; the others are told a little later.
local function keep_timer(m, now, waits, shy, opens_at)
  local mine = m.timer_by == arg.worker
  local target = waits and target_of(m, opens_at)
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

-- The fragment that ends every script, before its turn number. `idle`: an empty step, which had
-- a free slot, handed in nothing and claimed nothing: what it could not take, its like cannot.
local function wake_up(m, now, idle, shy)
  local room, opens_at = claim_room(m, now)
  local empty = redis.call('LLEN', key.wake) == 0
  if room > 0 and not idle then
    if empty and (any_free(m) or redis.call('ZCOUNT', key.delayed, '-inf', now) > 0) then
      redis.call('LPUSH', key.wake, '1')
      empty = false
    end
    if redis.call('LLEN', key.wake0) == 0 and has_free('0') then
      redis.call('LPUSH', key.wake0, '1')
    end
  end
  if empty and not (idle and shy) then
    local target = target_of(m, opens_at)
    if target and (not m.timer_at or m.timer_at > target or m.timer_at < now - TIMER_DEAD_MS) then
      redis.call('LPUSH', key.wake, '1')
    end
  end
end
