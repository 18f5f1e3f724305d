-- add: jobs into the queue; an id that is there already is left as it is, and named.
--
-- From     (absent)                     To   waiting, delayed
-- Bound    1,000 jobs and 1 MiB of records a call
-- KEYS     jobs leases delayed adds wake wake0 meta stats events wait
-- ARGV     now producer number
--          | n ids, records, places (line; line+delay in ms; line@epoch ms), names
-- USES     clock lines rate sections enqueue count tell wake
-- RETURNS  now, 1 if this number was applied before (and nothing is done), then the positions
--          (from 0) of the ids that existed
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
-- A producer has one add in flight: a number not above the stored one is a copy of an applied add.
local stored = redis.call('HGET', key.adds, arg.producer)
if stored then
  local number, existed = string.match(stored, '^(%d+):%d+:(.*)$')
  if tonumber(arg.number) <= tonumber(number) then
    local reply = { now, 1 }
    if tonumber(arg.number) == tonumber(number) then
      for position in string.gmatch(existed, '%d+') do
        reply[#reply + 1] = tonumber(position)
      end
    end
    return reply
  end
end

local n = take_count()
local ids, records, places, names = take(n), take(n), take(n), take(n)
-- The first write: refused here, before anything changed, when Redis is out of memory.
local ticket = draw_ticket()
local head = ticket .. struct.pack('>I6', now)
if not m.layout then
  redis.call('HSET', key.meta, 'layout', LAYOUT)
end
local existed, waiting, delayed, by_name, by_existing = {}, {}, {}, {}, {}

-- One new job to its place: a line at once, or `delayed` until its time.
local function place(id, where)
  local line = string.sub(where, 1, 1)
  local value = 'n' .. ticket .. id
  if #where == 1 then
    enqueue(m, line, value)
    waiting[#waiting + 1] = id
    return
  end
  local due = tonumber(string.sub(where, 3))
  if string.sub(where, 2, 2) == '+' then
    due = due + now
  end
  redis.call('ZADD', key.delayed, due, line .. value)
  delayed[#delayed + 1] = id
end

for i = 0, n - 1 do
  local id, name = ARGV[ids + i], ARGV[names + i]
  if redis.call('HSETNX', key.jobs, id, head .. ARGV[records + i]) == 0 then
    existed[#existed + 1] = i
    by_existing[name] = (by_existing[name] or 0) + 1
  else
    place(id, ARGV[places + i])
    by_name[name] = (by_name[name] or 0) + 1
  end
end
for name, times in pairs(by_name) do
  count('added:' .. name, times)
end
for name, times in pairs(by_existing) do
  count('existed:' .. name, times)
end
count('added', #waiting + #delayed)
tell_ids('waiting', waiting)
tell_ids('delayed', delayed)
if #waiting > 0 and claim_room(m, now) > 0 then
  push_token(key.wake) -- what was added is free: nothing has to be read to know that
else
  wake_up(m, now, false, false)
end
redis.call('HSET', key.adds, arg.producer,
  string.format('%s:%.0f:', arg.number, now) .. table.concat(existed, ' '))
return { now, 0, unpack(existed) }
