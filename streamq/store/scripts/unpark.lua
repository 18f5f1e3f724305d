-- unpark: parked jobs wait again, since somebody knows them by now.
--
-- From     parked                       To   waiting
-- Bound    1,000 ids a call
-- KEYS     jobs leases delayed parked stalls wake wake0 meta stats events wait
-- ARGV     now | n ids, lines
-- USES     clock lines rate sections enqueue count tell wake
-- RETURNS  now, then for each id 1, or 0: it is not parked, nothing done
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local n = take_count()
local ids, lines = take(n), take(n)
local reply, released = { now }, {}
redis.call('HDEL', key.stalls, '')
for i = 0, n - 1 do
  local id = ARGV[ids + i]
  local record = redis.call('ZSCORE', key.parked, id) and redis.call('HGET', key.jobs, id)
  reply[#reply + 1] = record and 1 or 0
  if record then
    redis.call('ZREM', key.parked, id)
    -- No fresh attempts: what it used before it was parked still counts.
    enqueue(m, ARGV[lines + i], 'r' .. string.sub(record, 1, 6) .. id)
    released[#released + 1] = id
  end
end
count('unparked', #released)
tell_ids('waiting', released)
wake_up(m, now, false, false)
return reply
