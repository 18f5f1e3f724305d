-- finish: jobs that end, and what retention then lets go.

local TRIM_MAX = 1000 -- jobs that one call lets go at most; the rest goes with the next

-- A state's set gets ids ARGV[first..last] at `now`.
local function enter(set, now, first, last)
  if last < first then
    return
  end
  -- Written out once: Redis prints a number anew for each pair.
  local score, scored, n = string.format('%.0f', now), {}, 0
  for i = first, last do
    scored[n + 1], scored[n + 2] = score, ARGV[i]
    n = n + 2
  end
  redis.call('ZADD', set, unpack(scored))
end

-- All that stands of these ids (1 to 1,000). Records first: a script that ends here leaves an
-- index without a record, which `repair` drops; the other order would look like a lost job.
local function forget(ids)
  redis.call('HDEL', key.jobs, unpack(ids))
  redis.call('HDEL', key.runs, unpack(ids))
  for _, few in ipairs({ key.logs, key.stalls, key.cancels }) do
    if redis.call('HLEN', few) > 0 then
      redis.call('HDEL', few, unpack(ids))
    end
  end
end

-- Keeps the newest `keep` of a state ('' or negative: all). Counts those that go.
local function trim(set, keep)
  keep = tonumber(keep)
  if not keep or keep < 0 then
    return
  end
  local over = math.min(redis.call('ZCARD', set) - keep, TRIM_MAX)
  if over <= 0 then
    return
  end
  forget(redis.call('ZRANGE', set, 0, over - 1))
  redis.call('ZREMRANGEBYRANK', set, 0, over - 1)
  count('trimmed', over)
end
