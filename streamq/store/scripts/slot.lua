-- slot: slots of a schedule are won, and their jobs added, once each whoever comes first.
--
-- From     (absent)                     To   waiting, delayed
-- Bound    1,000 slots and 1 MiB of records a call
-- KEYS     jobs leases delayed completed failed parked wake wake0 meta stats events schedules wait
-- ARGV     now name overlap after_ms until_ms missed
--          | n slots, each: slot, id, record, place (line; line@epoch ms), label
-- USES     clock sections lines rate enqueue places count tell timetable wake
-- RETURNS  now, word, where the schedule is (see timetable), positions (from 0) of the slots that
--          added a job. Words: absent (not declared); wait (a jump of the clock settles); early
--          (some slot is to come); behind (the schedule is not at after_ms: nothing is done); paused
--          (passed over); fired
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local schedule = read_schedule(arg.name)
if not schedule then
  return { now, 'absent', '', {} }
end
-- Rule 7: after a jump no slot fires for one lease; then the misfire policy says which ones do.
if now < tonumber(redis.call('HGET', key.meta, 'judge_from') or 0) then
  return { now, 'wait', schedule.value, {} }
end
-- Whoever asks keeps time by himself in between.
if tonumber(arg.until_ms) > now then
  return { now, 'early', schedule.value, {} }
end
-- The misfire policy was applied to what is due after `after_ms`. If others went on from there, or
-- an operator did, it has to be asked again.
if schedule.last ~= tonumber(arg.after_ms) then
  return { now, 'behind', schedule.value, {} }
end

-- Whether the overlap policy holds the next slot back: the schedule's newest job has not ended.
-- (The one before it has, or its slot was not held back.)
local function held_back()
  if arg.overlap == 'allow' or schedule.last_id == '-' then
    return false
  end
  local record = redis.call('HGET', key.jobs, schedule.last_id)
  local state = record and state_of(schedule.last_id, record)
  return state and state ~= 'completed' and state ~= 'failed'
end

local added, positions, ticket, head = { waiting = {}, delayed = {} }, {}, nil, nil

-- The job before the slot's mark: a script that ends early is repeated by anybody, and an id is
-- added once.
local function add(position, id, record, where, label)
  if not ticket then
    ticket = draw_ticket()
    head = ticket .. struct.pack('>I6', now)
  end
  schedule.last_id = id
  if redis.call('HSETNX', key.jobs, id, head .. record) == 0 then
    return
  end
  local line, due = string.sub(where, 1, 1), tonumber(string.sub(where, 3))
  if due and due > now then
    redis.call('ZADD', key.delayed, due, line .. 'n' .. ticket .. id)
    added.delayed[#added.delayed + 1] = id
  else
    enqueue(m, line, 'n' .. ticket .. id)
    added.waiting[#added.waiting + 1] = id
  end
  count('added:' .. label, 1)
  schedule.fired = schedule.fired + 1
  positions[#positions + 1] = position
end

for i = 0, take_count() - 1 do
  local slot, id, record, where, label = unpack(ARGV, take(5))
  slot = tonumber(slot)
  local owed = slot == schedule.owed
  -- A slot seen to that is owed no more: somebody else fired it meanwhile.
  if not schedule.paused and (owed or slot > schedule.last) then
    if owed then
      schedule.owed = 0 -- it is decided anew
    end
    if schedule.owed == 0 and not held_back() then
      add(i, id, record, where, label)
    elseif schedule.owed == 0 and arg.overlap == 'queue_one' then
      schedule.owed = slot
    else
      schedule.missed = schedule.missed + 1
    end
  end
end
if not m.layout and ticket then
  redis.call('HSET', key.meta, 'layout', LAYOUT)
end
count('added', #positions)
tell_ids('waiting', added.waiting)
tell_ids('delayed', added.delayed)
if not schedule.paused then
  schedule.missed = schedule.missed + arg.missed
end
schedule.last = tonumber(arg.until_ms)
keep_schedule(arg.name, schedule)
wake_up(m, now, false, false)
return { now, schedule.paused and 'paused' or 'fired', schedule.value, positions }
