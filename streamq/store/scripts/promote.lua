-- promote: delayed jobs wait now, whatever their time was.
--
-- From     delayed                      To   waiting
-- Bound    200 ids a call
-- KEYS     jobs leases delayed wake wake0 meta stats events wait
-- ARGV     now | n ids
-- USES     clock lines rate sections places enqueue count tell due wake
-- RETURNS  now, then for each id 1, or 0: it is not delayed, nothing done
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local n = take_count()
local ids = take(n)
redis.call('HDEL', key.meta, '') -- a delete first: a full Redis lets the rest pass
local reply, members, seen = { now }, {}, {}
for i = 0, n - 1 do
  local id = ARGV[ids + i]
  local record = redis.call('HGET', key.jobs, id)
  -- An id that comes twice is promoted once: two entries of one ticket would both be live.
  local member = record and not seen[id] and delayed_member(id, record)
  seen[id] = true
  reply[#reply + 1] = member and 1 or 0
  if member then
    members[#members + 1] = member
  end
end
promote_members(m, members)
count('promoted', #members)
wake_up(m, now, false, false)
return reply
