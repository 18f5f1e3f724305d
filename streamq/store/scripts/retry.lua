-- retry: failed jobs wait again, with fresh attempts; their old errors are kept.
--
-- From     failed                       To   waiting
-- Bound    1,000 ids a call
-- KEYS     jobs leases delayed failed stalls wake wake0 meta stats events wait
-- ARGV     now | n ids, lines
-- USES     clock lines rate sections enqueue count tell requeue wake
-- RETURNS  now, then for each id 1, or 0: it is not failed, nothing done
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local reply, moved = requeue(m, now, key.failed, 'f', true)
count('requeued', moved)
wake_up(m, now, false, false)
return reply
