-- lines: what stands in them, and what nobody was given yet.

-- Whether entry id `a` is later than `b`.
local function later(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  return a_ms > b_ms or (a_ms == b_ms and tonumber(a_seq) > tonumber(b_seq))
end

-- The last entry of a line that our group gave out; somebody may have made another group.
local function delivered_until(line)
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', key.wait[line])) do
    local found = {}
    for i = 1, #group, 2 do
      found[group[i]] = group[i + 1]
    end
    if found.name == 'workers' then
      return found['last-delivered-id']
    end
  end
  return '0-0'
end

-- What an entry holds; nil if it is not there.
local function value_of(line, entry)
  local found = redis.call('XRANGE', key.wait[line], entry, entry)[1]
  return found and found[2][2]
end

-- The entry goes, whoever it was given to.
local function let_go(line, entry)
  redis.call('XACK', key.wait[line], 'workers', entry)
  redis.call('XDEL', key.wait[line], entry)
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

-- When the earliest of the delayed is due; nil: there is none.
local function earliest_due()
  return tonumber(redis.call('ZRANGE', key.delayed, 0, 0, 'WITHSCORES')[2])
end
