-- step: settle what a worker's jobs came to, and give it new ones.
--
-- From     active, waiting, delayed     To   completed, failed, parked, delayed, waiting, active
-- Bound    200 outcomes, 200 slots, 1,000 due jobs, 1,000 dead entries; 1 MiB of records out
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels turns wake wake0 meta
--          stats events logs wait
-- ARGV     now worker turn slots share order flags keep_completed keep_failed
--          | n ids, entries (outcomes by kind, then running jobs with notes); n tails of their
--          leases, and which of them for each ('' if there is one; else two bytes each); n of
--          each kind in the order of KINDS; n honoured ids (they obey their flag); a run
--          for each of the n ids ('' leaves what stands); for each delayed: delay, member; for each
--          that waits again: line, value; n logs: id, text; n counters: field, n; n told: field,
--          value
-- USES     clock lines rate sections settle enqueue count tell due finish claim wake
-- RETURNS  'ok', now, fence, look_again_ms, flagged (id flag), then for each line that gave
--          claims: line, its claims flat (entry value record), runs. Or 'recheck', refused ids,
--          flagged (id flag): nothing was written, the same turn is to be sent again without them
-- ERRORS   GONE STALE LAYOUT

-- What an attempt can come to; gone: completed, and nothing is kept.
local KINDS = { 'completed', 'failed', 'parked', 'delayed', 'waiting', 'gone', 'removed' }

local stored = redis.call('HGET', key.turns, arg.worker)
local last_turn = string.match(stored or '', '^%d+')
if not last_turn then
  return redis.error_reply('GONE ' .. arg.worker)
end
if tonumber(arg.turn) ~= last_turn + 1 then
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
local first_entry = take(n_leases)
local first_tail = take(take_count())
local which = ARGV[take(1)]
local first_of, last_of, n_settled = {}, {}, 0
for _, kind in ipairs(KINDS) do
  first_of[kind] = first_id + n_settled
  n_settled = n_settled + take_count()
  last_of[kind] = first_id + n_settled - 1
end
local last_settled = first_id + n_settled - 1
local honoured = {}
for _ = 1, take_count() do
  honoured[ARGV[take(1)]] = true
end
local flagged = {}
if n_leases > 0 then
  local refused = differing_parts(first_id, last_id, first_entry, first_tail, which)
  read_flags(flagged, first_id, last_settled, honoured, first_of.gone)
  if #refused > 0 or #flagged > 0 then
    return { 'recheck', refused, flagged }
  end
end

-- settle: the new place first and the lease last, so that a script that ends early is put right by
-- the same outcomes handed in again; and while an entry pends, its lease says what it is. The first
-- write of all is one that a full Redis allows.
local only_asks = #ARGV == ARGV_FIRST + 13 -- every section is empty
if not only_asks then
  redis.call('HDEL', key.turns, '')
end
write_runs(first_id, last_id, take(n_leases))
enter(key.completed, now, first_of.completed, last_of.completed)
enter(key.failed, now, first_of.failed, last_of.failed)
enter(key.parked, now, first_of.parked, last_of.parked)
if last_settled >= first_of.gone then
  forget({ unpack(ARGV, first_of.gone, last_settled) })
end
local delays = take((last_of.delayed - first_of.delayed + 1) * 2)
for i = 0, last_of.delayed - first_of.delayed do
  redis.call('ZADD', key.delayed, now + ARGV[delays + i * 2], ARGV[delays + i * 2 + 1])
end
local returns = take((last_of.waiting - first_of.waiting + 1) * 2)
if n_settled > 0 then
  ack_entries(first_entry, n_settled, first_tail, which)
  if redis.call('HLEN', key.cancels) > 0 then
    redis.call('HDEL', key.cancels, unpack(ARGV, first_id, last_settled))
  end
  redis.call('HDEL', key.leases, unpack(ARGV, first_id, last_settled))
  count('dropped', last_settled - first_of.gone + 1)
end
for i = 0, last_of.waiting - first_of.waiting do
  enqueue(m, ARGV[returns + i * 2], ARGV[returns + i * 2 + 1])
end
local logs_first, logs_last = take(take_count() * 2)
for i = logs_first, logs_last, 2 do
  append_log(ARGV[i], ARGV[i + 1])
end
if n_settled > 0 then
  trim(key.completed, arg.keep_completed)
  trim(key.failed, arg.keep_failed)
end
local counters_first, counters_last = take(take_count() * 2)
for i = counters_first, counters_last, 2 do
  count(ARGV[i], ARGV[i + 1])
end
local told = { unpack(ARGV, take(take_count() * 2)) }
for _, kind in ipairs(KINDS) do
  if last_of[kind] >= first_of[kind] then
    told[#told + 1] = kind == 'gone' and 'completed' or kind
    told[#told + 1] = table.concat(ARGV, ' ', first_of[kind], last_of[kind])
  end
end

-- due and claim
local _, next_due = promote_due(m, now, 1000)
local slots, out, fence = tonumber(arg.slots), { ids = {}, bytes = 0 }, m.fence
local room, opens_at = claim_room(m, now)
local wanted, claimed, dead, dry = math.min(slots, room), 0, 0, false
if wanted > 0 then
  fence = math.max(m.fence + 1, now_us)
  claimed, dead, dry = claim_lines(out, arg.order == '' and '0' .. m.lines or arg.order, wanted,
    tonumber(arg.share), fence)
end
if only_asks and claimed == 0 then
  redis.call('HDEL', key.turns, '') -- no claim: the first write is still to come
end
if claimed > 0 then
  rate_used(m, now, claimed)
  opens_at = select(2, rate_room(m, now)) -- these starts may have closed the rate
  for first = 1, claimed, 200 do
    told[#told + 1] = 'active'
    told[#told + 1] = table.concat(out.ids, ' ', first, math.min(first + 199, claimed))
  end
end
if #told > 0 then
  tell(told, n_settled + claimed)
end
flag_claims(flagged, out.ids)

-- wait: when to look again, the timer, the tokens; the turn number is the last write.
local waits = slots > claimed and string.find(arg.flags, 'w', 1, true) ~= nil
local shy = string.find(arg.flags, 's', 1, true) ~= nil
local told_ms = keep_timer(m, now, waits, shy, opens_at, next_due)
told_ms = claimed == 0 and dead >= 1000 and 10 or told_ms
-- A worker that waits with every line run dry has left nothing for a token, and the timer is seen to.
if not (dry and arg.order == '' and waits and not shy) then
  wake_up(m, now, slots > 0 and n_settled == 0 and claimed == 0, shy)
end
redis.call('HSET', key.turns, arg.worker, string.format('%s:%.0f', arg.turn, now))
return { 'ok', now, string.format('%.0f', fence), told_ms, flagged, unpack(out) }
