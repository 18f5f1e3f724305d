-- register: a worker's row, so that its other calls are heard.
--
-- From     (no row)                     To   live
-- Bound    one worker
-- KEYS     workers turns leases delayed wake wake0 meta wait
-- ARGV     now worker kind row max_active rate
-- USES     clock lines rate enqueue wake
-- RETURNS  now
-- ERRORS   LAYOUT; STATE: the id was used before (a late copy of a register), take a new one

local m, refusal = read_meta()
if refusal then
  return refusal
end
-- Dead is for ever: a row that was marked dead keeps its id for ten minutes, see `beat`.
if redis.call('HEXISTS', key.workers, arg.worker) == 1 then
  return redis.error_reply('STATE ' .. arg.worker)
end
local now = read_clock()
-- A delete first: a full Redis lets the rest pass, so that a worker that starts anew can drain it.
redis.call('HDEL', key.turns, '')
open_line(m, '0')
open_line(m, ';')
redis.call('HSET', key.meta, 'layout', LAYOUT, 'code_max_active', arg.max_active, 'code_rate',
  arg.rate)
-- What an operator set at run time wins over the code, until it is reset.
for _, limit in ipairs({ 'max_active', 'rate' }) do
  local own = redis.call('HGET', key.meta, 'own_' .. limit)
  local value = own or arg[limit]
  if value == '' or value == '0' or value == '0/0' then
    redis.call('HDEL', key.meta, limit)
  else
    redis.call('HSET', key.meta, limit, value)
  end
end
m = read_meta()
wake_up(m, now, false, false)
-- The turn before the row: a turn that stays alone is reaped one lease later, a row would stay.
redis.call('HSET', key.turns, arg.worker, string.format('0:%.0f', now))
redis.call('HSET', key.workers, arg.worker, '+' .. arg.kind .. arg.row)
return now
