-- drain: jobs that did not start go, from the lines and from `delayed`.
--
-- From     waiting, delayed             To   (absent)
-- Bound    1,000 jobs or dead entries a call
-- KEYS     jobs runs leases delayed stalls cancels wake wake0 meta stats events logs wait
-- ARGV     now delayed_too limit
-- USES     clock lines rate count tell finish wake
-- RETURNS  now, how many went, 1 if more may be there
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
redis.call('HDEL', key.meta, '') -- a delete first: a full Redis lets the rest pass
local limit = math.min(tonumber(arg.limit), 1000)
local gone, looked = {}, 0

-- The entries of a line that nobody was given: all behind the group's last-delivered id.
local function drain_line(line)
  local stream = key.wait[line]
  if redis.call('XLEN', stream) == 0 then
    return
  end
  local after = '(' .. delivered_until(line)
  local entries = redis.call('XRANGE', stream, after, '+', 'COUNT', limit - looked)
  local ids, drained, dead = {}, {}, 0
  for i = 1, #entries do
    drained[i] = entries[i][1]
    local value = entries[i][2][2]
    local id = string.sub(value, 8)
    local record = redis.call('HGET', key.jobs, id)
    if record and string.sub(record, 1, 6) == string.sub(value, 2, 7) then
      ids[#ids + 1] = id
      gone[#gone + 1] = id
    else
      dead = dead + 1
    end
  end
  if #ids > 0 then
    forget(ids)
  end
  if #entries > 0 then
    redis.call('XDEL', stream, unpack(drained))
  end
  if dead > 0 then
    redis.call('HINCRBY', key.meta, 'dead', -dead)
  end
  looked = looked + #entries
end

for line in string.gmatch('0;' .. m.lines, '.') do
  if looked < limit then
    drain_line(line)
  end
end
if arg.delayed_too == '1' and looked < limit then
  local members, ids = redis.call('ZRANGE', key.delayed, 0, limit - looked - 1), {}
  for i = 1, #members do
    ids[i] = string.sub(members[i], 9)
    gone[#gone + 1] = ids[i]
  end
  if #ids > 0 then
    forget(ids)
    redis.call('ZREM', key.delayed, unpack(members))
  end
  looked = looked + #members
end
count('removed', #gone)
tell_ids('removed', gone)
wake_up(m, now, false, false)
return { now, #gone, looked >= limit and 1 or 0 }
