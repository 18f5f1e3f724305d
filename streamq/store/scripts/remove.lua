-- remove: jobs and all that stands of them; an active one is flagged, and goes when it settles.
--
-- From     (any)                        To   (absent)
-- Bound    200 ids a call
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels wake wake0 meta stats
--          events logs wait
-- ARGV     now channel | n ids
-- USES     clock lines rate sections places count tell finish wake
-- RETURNS  now, then for each id a word: absent, removed, flagged
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local reply, removed = { now }, {}
local n = take_count()
local ids = take(n)
redis.call('HDEL', key.cancels, '')
for i = 0, n - 1 do
  local id = ARGV[ids + i]
  local record = redis.call('HGET', key.jobs, id)
  if not record then
    reply[#reply + 1] = 'absent'
  else
    local state, member = state_of(id, record)
    if state == 'active' then
      redis.call('HSET', key.cancels, id, 'r')
      redis.call('PUBLISH', arg.channel, id)
      reply[#reply + 1] = 'flagged'
    else
      -- The record first: what is left of a script that ends here is an index without a record.
      forget({ id })
      if state == 'waiting' then
        redis.call('HINCRBY', key.meta, 'dead', 1)
      elseif state == 'delayed' then
        redis.call('ZREM', key.delayed, member)
      else
        redis.call('ZREM', key[state], id)
      end
      removed[#removed + 1] = id
      reply[#reply + 1] = 'removed'
    end
  end
end
count('removed', #removed)
tell_ids('removed', removed)
wake_up(m, now, false, false)
return reply
