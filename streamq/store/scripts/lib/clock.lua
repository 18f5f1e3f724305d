-- clock: what time it is, and what `meta` says; every script begins with it.

-- Redis's own time, unless the caller moves it: milliseconds, microseconds.
local function read_clock()
  if arg.now ~= '' then
    return tonumber(arg.now), tonumber(arg.now) * 1000
  end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t[1] * 1000000 + t[2]
end

-- The settings and marks of the queue in one read. Second value: the refusal to return at once.
local function read_meta()
  local v = redis.call('HMGET', key.meta, 'layout', 'paused', 'max_active', 'rate', 'starts',
    'timer_at', 'timer_by', 'fence', 'lines')
  if v[1] and tonumber(v[1]) > LAYOUT then
    return nil, redis.error_reply('LAYOUT ' .. v[1] .. ' ' .. LAYOUT)
  end
  return {
    layout = v[1],
    paused = v[2] == '1',
    max_active = v[3] and tonumber(v[3]),
    rate = v[4] or nil,
    starts = v[5] or '',
    timer_at = v[6] and tonumber(v[6]),
    timer_by = v[7],
    fence = tonumber(v[8] or 0),
    lines = v[9] or '',
  }
end
