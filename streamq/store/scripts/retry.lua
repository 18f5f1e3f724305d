-- retry: failed jobs wait again, with fresh attempts; their old errors are kept.
--
-- From     failed                       To   waiting
-- Bound    1,000 ids a call
-- KEYS     jobs leases delayed failed stalls wake wake0 meta stats events wait
-- ARGV     now | n ids, lines
-- USES     clock lines rate sections enqueue count tell wake
-- RETURNS  now, then for each id 1, or 0: it is not failed, nothing done
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local n = take_count()
local ids, lines = take(n), take(n)
local reply, retried = { now }, {}
redis.call('HDEL', key.stalls, '')
for i = 0, n - 1 do
  local id = ARGV[ids + i]
  local record = redis.call('ZSCORE', key.failed, id) and redis.call('HGET', key.jobs, id)
  reply[#reply + 1] = record and 1 or 0
  if record then
    -- An operator's word clears the deaths that were held against it.
    redis.call('HDEL', key.stalls, id)
    redis.call('ZREM', key.failed, id)
    enqueue(m, ARGV[lines + i], 'f' .. string.sub(record, 1, 6) .. id)
    retried[#retried + 1] = id
  end
end
count('requeued', #retried)
tell_ids('waiting', retried)
wake_up(m, now, false, false)
return reply
