-- repair: put right what a script left that ended early, or what a foreign hand broke.
--
-- From     (torn)                       To   waiting, or the one state that its traces agree on
-- Bound    200 items a call; the caller pages
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels workers turns wake wake0
--          meta stats events logs wait
-- ARGV     now what line | n items, items. what: groups (no items); line (entry and value, of
--          `line`); leases (id and lease); delayed (members); completed, failed, parked, runs
--          (ids; runs: also of logs, stalls, cancels); workers (ids); consumers (no items); lost
--          (ids that the caller saw in no line), jobs (the same, and seen in no line again since
--          then); dead (the counter that the caller expects, all lines having been walked)
-- USES     clock lines rate sections enqueue places count tell finish mend wake
-- RETURNS  now, ids (or names of lines) that were put right, ids of the page that stand in a line,
--          dead entries dropped
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local n = take_count()
redis.call('HDEL', key.turns, '')

local mend = {}

-- A group that went missing is made anew behind all entries, so that none is given out twice; the
-- entries that it knew are then nobody's, and are given back by `line` and `leases`.
function mend.groups()
  for line in string.gmatch('0123456789:;', '.') do
    local exists = redis.call('EXISTS', key.wait[line]) == 1
    local in_use = line == '0' or line == ';' or string.find(m.lines, line, 1, true)
    if exists or in_use then
      local made = redis.pcall('XGROUP', 'CREATE', key.wait[line], 'workers', '$', 'MKSTREAM')
      if not made.err then
        mended[#mended + 1] = line
      elseif not string.find(made.err, 'BUSYGROUP', 1, true) then
        error(made.err)
      end
      open_line(m, line)
    end
  end
end

local given_until

function mend.line(entry, value)
  given_until = given_until or delivered_until(arg.line)
  mend_entry(m, arg.line, entry, value, later(entry, given_until))
end

function mend.leases(id, lease)
  if redis.call('HGET', key.leases, id) == lease then
    mend_lease(m, id, lease)
  end
end

-- One member for one job, of its record's ticket, and none of a job that ended: its end came last.
function mend.delayed(member)
  local id = string.sub(member, 9)
  local record = redis.call('HGET', key.jobs, id)
  local state, stands = place_of(id, record or '')
  if not record or state ~= 'delayed' or stands ~= member then
    redis.call('ZREM', key.delayed, member)
    mended[#mended + 1] = id
  end
end

-- An index without its record goes; of two, the first of completed, failed, parked stays.
function mend.completed(id)
  local record = redis.call('HGET', key.jobs, id)
  if not record or place_of(id, record) ~= arg.what then
    redis.call('ZREM', key[arg.what], id)
    mended[#mended + 1] = id
  end
end
mend.failed, mend.parked = mend.completed, mend.completed

function mend.runs(id)
  if redis.call('HEXISTS', key.jobs, id) == 0 then
    forget({ id })
    mended[#mended + 1] = id
  end
end

-- A live row without a turn: nobody would ever miss it. From now on it is a worker to be reaped.
function mend.workers(id)
  local row = redis.call('HGET', key.workers, id) or ''
  if string.sub(row, 1, 1) == '+' and redis.call('HEXISTS', key.turns, id) == 0 then
    redis.call('HSET', key.turns, id, '-1:0')
    mended[#mended + 1] = id
  end
end

-- What reads a line for a worker that no row names any more, and holds nothing.
function mend.consumers()
  for line in string.gmatch('0;' .. m.lines, '.') do
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', key.wait[line], 'workers')) do
      local name, pending = consumer[2], consumer[4]
      if pending == 0 and redis.call('HEXISTS', key.workers, name) == 0 then
        redis.call('XGROUP', 'DELCONSUMER', key.wait[line], 'workers', name)
        mended[#mended + 1] = name
      end
    end
  end
end

-- That these stand nowhere is sure only once the lines were walked again: `lost` names them,
-- `jobs` gives them back.
function mend.lost(id)
  if find_lost(id) then
    mended[#mended + 1] = id
  end
end

function mend.jobs(id)
  local record = find_lost(id)
  if record then
    give_back(m, id, record)
  end
end

-- What is left of the counter once all lines were walked and no dead entry stands: its drift.
function mend.dead(expected)
  if expected ~= '0' and redis.call('HGET', key.meta, 'dead') == expected then
    redis.call('HSET', key.meta, 'dead', 0)
    mended[#mended + 1] = 'dead'
  end
end

if arg.what == 'groups' or arg.what == 'consumers' then
  mend[arg.what]()
end
for _ = 1, n do
  mend[arg.what](unpack(ARGV, take((arg.what == 'line' or arg.what == 'leases') and 2 or 1)))
end
raise_counters()
if arg.what ~= 'lost' then
  count('repaired', #mended)
end
tell_ids('waiting', given)
wake_up(m, now, false, false)
return { now, mended, standing, dead_dropped }
