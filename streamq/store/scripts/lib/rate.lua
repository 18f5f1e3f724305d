-- rate: at most so many starts in any window of a length.

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
