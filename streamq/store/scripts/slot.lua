-- slot: slots of a schedule are won, and their jobs added, once each whoever comes first.
--
-- From     (absent)                     To   waiting, delayed
-- Bound    1,000 slots and 1 MiB of records a call
-- KEYS     jobs leases delayed completed failed parked wake wake0 meta stats events schedules wait
-- ARGV     now name overlap missed until_ms
--          | n slots, each: slot, id, record, place (line; line+delay in ms), label
-- USES     clock sections lines rate enqueue places count tell wake
-- RETURNS  now, word (absent: not declared; paused: passed over; wait: a jump of the clock settles;
--          lost: another was first; fired), positions (from 0) of the slots that added a job
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local state = redis.call('HGET', key.schedules, arg.name)
if not state then
  return { now, 'absent', {} }
end
local last, fired, missed, paused, last_id = string.match(state, '^(%d+) (%d+) (%d+) (%d) (.*)$')
-- Rule 7: after a jump no slot fires for one lease; then the misfire policy says which ones do.
if now < tonumber(redis.call('HGET', key.meta, 'judge_from') or 0) then
  return { now, 'wait', {} }
end
if tonumber(arg.until_ms) <= tonumber(last) then
  return { now, 'lost', {} }
end

-- How many jobs of the schedule have not ended: the last one, and the one before it if it runs.
local function unended(id)
  local record = id ~= '-' and redis.call('HGET', key.jobs, id)
  if not record then
    return nil
  end
  local where = state_of(id, record)
  return where ~= 'completed' and where ~= 'failed' and where or nil
end

-- Whether the overlap policy leaves the slot out: skip while the last one has not ended, queue one
-- while the last one has not even started.
local function left_out()
  local where = arg.overlap ~= 'allow' and unended(last_id)
  return where and (arg.overlap == 'skip' or where ~= 'active')
end

-- The jobs first: a script that ends early is repeated by anybody, and an id is added once.
local ticket = draw_ticket()
local head = ticket .. struct.pack('>I6', now)
local added, positions = { waiting = {}, delayed = {} }, {}
for i = 0, take_count() - 1 do
  local slot, id, record, where, label = unpack(ARGV, take(5))
  if tonumber(slot) > tonumber(last) and paused == '0' and not left_out() then
    if redis.call('HSETNX', key.jobs, id, head .. record) == 1 then
      local line, value = string.sub(where, 1, 1), 'n' .. ticket .. id
      if #where == 1 then
        enqueue(m, line, value)
      else
        redis.call('ZADD', key.delayed, now + string.sub(where, 3), line .. value)
      end
      local state_now = #where == 1 and added.waiting or added.delayed
      state_now[#state_now + 1] = id
      count('added:' .. label, 1)
      fired, last_id = fired + 1, id
      positions[#positions + 1] = i
    end
  elseif tonumber(slot) > tonumber(last) then
    missed = missed + 1
  end
end
missed = missed + arg.missed
count('added', #positions)
tell_ids('waiting', added.waiting)
tell_ids('delayed', added.delayed)
redis.call('HSET', key.schedules, arg.name,
  string.format('%s %.0f %.0f %s %s', arg.until_ms, fired, missed, paused, last_id))
wake_up(m, now, false, false)
return { now, paused == '1' and 'paused' or 'fired', positions }
