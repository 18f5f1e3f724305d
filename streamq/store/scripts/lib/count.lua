-- count: the monotonic counters in `stats`.

local function count(field, n)
  if n ~= 0 then
    redis.call('HINCRBY', key.stats, field, n)
  end
end
