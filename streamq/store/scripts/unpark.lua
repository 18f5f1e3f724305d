-- unpark: parked jobs wait again, since somebody knows them by now.
--
-- From     parked                       To   waiting
-- Bound    1,000 ids a call
-- KEYS     jobs leases delayed parked stalls wake wake0 meta stats events wait
-- ARGV     now | n ids, lines
-- USES     clock lines rate sections enqueue count tell requeue wake
-- RETURNS  now, then for each id 1, or 0: it is not parked, nothing done
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
-- The mark r: no fresh attempts, what it used before it was parked still counts.
local reply, moved = requeue(m, now, key.parked, 'r', false)
count('unparked', moved)
wake_up(m, now, false, false)
return reply
