-- step: settle what a worker's jobs came to, and give it new ones.
--
-- From     active, waiting, delayed     To   completed, failed, parked, delayed, waiting, active
-- Bound    200 outcomes, 200 slots, 1,000 due jobs, 1,000 dead entries; 1 MiB of records out
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels turns wake wake0 meta
--          stats events logs wait
-- ARGV     now worker turn slots share order flags keep_completed keep_failed
--          | n ids, leases (of all outcomes, then of running jobs with notes); n outcomes; n of them
--          that must obey a cancel (they stand first); then, each with its n before it: runs (id
--          run), completed, failed, parked, dropped (ids), delayed (delay member), released (line
--          value), acks (line, then n entries), logs (id text), counters (field n), told (state ids)
-- USES     clock lines rate sections settle enqueue due count tell finish claim wake
-- RETURNS  'ok', now, fence, look_again_ms, flagged (id flag), then for each line that gave claims:
--          line, entries, records, runs. Or 'recheck', refused ids, flagged (id flag): nothing was
--          written, and the same turn is to be sent again without them
-- ERRORS   GONE STALE LAYOUT

local stored = redis.call('HGET', key.turns, arg.worker)
if not stored then
  return redis.error_reply('GONE ' .. arg.worker)
end
if tonumber(arg.turn) ~= tonumber(string.match(stored, '^%d+')) + 1 then
  return redis.error_reply('STALE ' .. arg.turn .. ' ' .. stored)
end
local m, refusal = read_meta()
if refusal then
  return refusal
end
local now, now_us = read_clock()

-- All is compared before anything is written: a batch is settled whole or not at all, so what
-- the worker has summed up for it (runs, counters, events) holds exactly.
local n_leases = take_count()
local first_id, last_id = take(n_leases)
local first_lease = take(n_leases)
local n_settled, n_obeying = take_count(), take_count()
local flagged = {}
if n_leases > 0 then
  local refused = differing_leases(first_id, last_id, first_lease)
  read_flags(flagged, first_id, first_id + n_obeying - 1)
  if #refused > 0 or #flagged > 0 then
    return { 'recheck', refused, flagged }
  end
end

-- settle: the new place first and the lease last, so that a script that ends early is put right by
-- the same outcomes handed in again. The first write of all is one that a full Redis allows.
redis.call('HDEL', key.turns, '')
local n = take_count()
write_all('HSET', key.runs, take(n * 2))
n = take_count()
enter(key.completed, now, take(n))
n = take_count()
enter(key.failed, now, take(n))
n = take_count()
enter(key.parked, now, take(n))
local dropped_first, dropped_last = take(take_count())
local delayed_first, delayed_last = take(take_count() * 2)
for i = delayed_first, delayed_last, 2 do
  redis.call('ZADD', key.delayed, now + ARGV[i], ARGV[i + 1])
end
if n_settled > 0 then
  redis.call('HDEL', key.leases, unpack(ARGV, first_id, first_id + n_settled - 1))
  if redis.call('HLEN', key.cancels) > 0 then
    redis.call('HDEL', key.cancels, unpack(ARGV, first_id, first_id + n_settled - 1))
  end
end
local released_first, released_last = take(take_count() * 2)
for _ = 1, take_count() do
  local line = ARGV[take(1)]
  local first, last = take(take_count())
  redis.call('XACK', key.wait[line], 'workers', unpack(ARGV, first, last))
  redis.call('XDEL', key.wait[line], unpack(ARGV, first, last))
end
for i = released_first, released_last, 2 do
  enqueue(m, ARGV[i], ARGV[i + 1])
end
if dropped_last >= dropped_first then
  forget({ unpack(ARGV, dropped_first, dropped_last) })
end
local logs_first, logs_last = take(take_count() * 2)
for i = logs_first, logs_last, 2 do
  append_log(ARGV[i], ARGV[i + 1])
end
trim(key.completed, arg.keep_completed)
trim(key.failed, arg.keep_failed)
local counters_first, counters_last = take(take_count() * 2)
for i = counters_first, counters_last, 2 do
  count(ARGV[i], ARGV[i + 1])
end
local told = { unpack(ARGV, take(take_count() * 2)) }

-- due and claim
promote_due(m, now, 1000)
local slots, out, fence = tonumber(arg.slots), { ids = {}, bytes = 0 }, m.fence
local room, opens_at = claim_room(m, now)
local wanted, claimed, dead = math.min(slots, room), 0, 0
if wanted > 0 then
  fence = math.max(m.fence + 1, now_us)
  claimed, dead = claim_lines(out, arg.order == '' and '0' .. m.lines or arg.order, wanted,
    tonumber(arg.share), fence)
end
if claimed > 0 then
  redis.call('HSET', key.meta, 'fence', string.format('%.0f', fence))
  rate_used(m, now, claimed)
  for first = 1, claimed, 200 do
    told[#told + 1] = 'active'
    told[#told + 1] = table.concat(out.ids, ' ', first, math.min(first + 199, claimed))
  end
end
if #told > 0 then
  tell(told, n_settled + claimed)
end
if redis.call('HLEN', key.cancels) > 0 and claimed > 0 then
  for first = 1, claimed, 1000 do
    local ids = { unpack(out.ids, first, math.min(first + 999, claimed)) }
    local flags = redis.call('HMGET', key.cancels, unpack(ids))
    for i = 1, #ids do
      if flags[i] then
        flagged[#flagged + 1], flagged[#flagged + 2] = ids[i], flags[i]
      end
    end
  end
end

-- wait: when to look again, the timer, the tokens; the turn number is the last write.
local waits = slots > claimed and string.find(arg.flags, 'w', 1, true) ~= nil
local shy = string.find(arg.flags, 's', 1, true) ~= nil
local told_ms = keep_timer(m, now, waits, shy, opens_at)
if claimed == 0 and dead >= 1000 then
  told_ms = 10
end
wake_up(m, now, slots > 0 and n_settled == 0 and claimed == 0, shy)
redis.call('HSET', key.turns, arg.worker, string.format('%s:%.0f', arg.turn, now))
return { 'ok', now, string.format('%.0f', fence), told_ms, flagged, unpack(out) }
