-- change: another priority, other data or another time for a job that did not start.
--
-- From     waiting, delayed             To   waiting, delayed
-- Bound    one job
-- KEYS     jobs runs leases delayed completed failed parked wake wake0 meta stats events wait
-- ARGV     now id record_before record line due
-- USES     clock lines rate places enqueue count tell wake
-- RETURNS  now
-- ERRORS   LAYOUT; STATE: the job is absent, or in a state that this can't change; AGAIN: the
--          record is not `record_before` any more, read it and come again

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local value = redis.call('HGET', key.jobs, arg.id)
if not value then
  return redis.error_reply('STATE absent')
end
local state, member, due = state_of(arg.id, value)
if state ~= 'waiting' and state ~= 'delayed' then
  return redis.error_reply('STATE ' .. state)
end
if string.sub(value, 13) ~= arg.record_before then
  return redis.error_reply('AGAIN ' .. arg.id)
end

-- The ticket is drawn here and never sent: a copy of this call draws another, and then the entry
-- of the first is dead. `due` is empty: keep the time; 0: now; else epoch ms.
local ticket = draw_ticket()
-- A waiting job that has run gets fresh attempts: whether its dead entry had them is not known.
local mark = redis.call('HEXISTS', key.runs, arg.id) == 1 and 'f' or 'n'
if member then
  mark = string.sub(member, 2, 2)
  redis.call('ZREM', key.delayed, member)
else
  redis.call('HINCRBY', key.meta, 'dead', 1)
end
redis.call('HSET', key.jobs, arg.id, ticket .. string.sub(value, 7, 12) .. arg.record)
local at = arg.due == '' and tonumber(due or 0) or tonumber(arg.due)
if at > now then
  redis.call('ZADD', key.delayed, at, arg.line .. mark .. ticket .. arg.id)
  tell({ 'delayed', arg.id }, 1)
else
  enqueue(m, arg.line, mark .. ticket .. arg.id)
  tell({ 'waiting', arg.id }, 1)
end
count('changed', 1)
wake_up(m, now, false, false)
return now
