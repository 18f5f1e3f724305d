-- history: sums per minute and per hour, and the rows that nobody needs any more.

local MINUTES_KEPT = 1440 -- a day
local HOURS_KEPT = 336 -- two weeks
local SUMS = { 'added', 'completed', 'failed', 'retried' }
local ADD_KEPT_MS = 600000 -- of a producer's last number, and of a dead worker's id
local SWEPT_MAX = 200

-- What the counters grew by since the last entry of `stream`, whose sums stand in `meta`.
local function write_sums(stream, kept, now, field)
  local totals = redis.call('HMGET', key.stats, unpack(SUMS))
  local before, entry, after = {}, { 'at', string.format('%.0f', now) }, {}
  for n in string.gmatch(redis.call('HGET', key.meta, field) or '', '%d+') do
    before[#before + 1] = tonumber(n)
  end
  for i, name in ipairs(SUMS) do
    after[i] = tonumber(totals[i] or 0)
    entry[#entry + 1] = name
    entry[#entry + 1] = string.format('%.0f', math.max(0, after[i] - (before[i] or 0)))
  end
  redis.call('XADD', stream, 'MAXLEN', '~', kept, '*', unpack(entry))
  redis.call('HSET', key.meta, field, table.concat(after, ' '))
end

-- Producers that were not heard of for ten minutes, and dead workers' rows of that age. Not a row
-- whose reap has not ended: its id must stay taken as long as something stands under it.
local function sweep(now)
  local page = redis.call('HSCAN', key.adds, redis.call('HGET', key.meta, 'swept') or '0', 'COUNT',
    SWEPT_MAX)
  redis.call('HSET', key.meta, 'swept', page[1])
  for i = 1, #page[2], 2 do
    local at = tonumber(string.match(page[2][i + 1], '^%d+:(%d+)'))
    if now - at > ADD_KEPT_MS then
      redis.call('HDEL', key.adds, page[2][i])
    end
  end
  local rows = redis.call('HGETALL', key.workers)
  local swept = 0
  for i = 1, #rows, 2 do
    local died = string.match(rows[i + 1], '^%-.(%d%d%d%d%d%d%d%d%d%d%d%d%d)')
    if died and swept < SWEPT_MAX and now - tonumber(died) > ADD_KEPT_MS
      and redis.call('HEXISTS', key.turns, rows[i]) == 0 then
      redis.call('HDEL', key.workers, rows[i])
      swept = swept + 1
    end
  end
end
