-- repair: put right what a script left that ended early, or what a foreign hand broke.
--
-- From     (torn)                       To   waiting, or the one state that its traces agree on
-- Bound    200 items a call; the caller pages
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels workers turns wake wake0
--          meta stats events logs wait
-- ARGV     now what line | n items, items. what: groups (no items); line (entry and value, of
--          `line`); leases (id and lease); jobs (ids that the caller saw in no line); delayed
--          (members); completed, failed, parked, runs (ids); dead (no items: all lines were walked)
-- USES     clock lines rate sections enqueue places count tell finish wake
-- RETURNS  now, ids (or names of lines) that were put right
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local mended, returned = {}, {}
local n = take_count()
redis.call('HDEL', key.turns, '')

local function ended_or_delayed(id, record)
  local state = state_of(id, record)
  return state ~= 'waiting' and state ~= 'active' or delayed_member(id, record) ~= nil
    or redis.call('ZSCORE', key.completed, id) or redis.call('ZSCORE', key.failed, id)
    or redis.call('ZSCORE', key.parked, id)
end

local function pends(line, entry)
  return #redis.call('XPENDING', key.wait[line], 'workers', entry, entry, 1) > 0
end

local function drop_entry(line, entry, id)
  redis.call('XACK', key.wait[line], 'workers', entry)
  redis.call('XDEL', key.wait[line], entry)
  mended[#mended + 1] = id
end

-- Back to a line under a new ticket: should an entry of it stand somewhere after all, it is dead.
local function give_back(id, record)
  local ticket = draw_ticket()
  redis.call('HSET', key.jobs, id, ticket .. string.sub(record, 7))
  enqueue(m, '0', 'r' .. ticket .. id)
  returned[#returned + 1] = id
end

local mend = {}

-- A group that went missing is made anew behind all entries, so that none is given out twice;
-- the entries that it knew are then nobody's, and are given back by `line` and `leases`.
function mend.groups()
  for line in string.gmatch('0123456789:;', '.') do
    if redis.call('EXISTS', key.wait[line]) == 1 and #redis.call('XINFO', 'GROUPS', key.wait[line]) == 0 then
      redis.call('XGROUP', 'CREATE', key.wait[line], 'workers', '$')
      mended[#mended + 1] = line
    end
    if redis.call('EXISTS', key.wait[line]) == 1 then
      open_line(m, line)
    end
  end
end

function mend.line(entry, value)
  local line, id = arg.line, string.sub(value, 8)
  local record, lease = redis.call('HGET', key.jobs, id), redis.call('HGET', key.leases, id)
  local live = record and string.sub(record, 1, 6) == string.sub(value, 2, 7)
  local free = later(entry, delivered_until(line))
  if live and (free or (lease and string.sub(lease, 1, #entry + 1) == entry .. '|' and pends(line, entry))) then
    return
  end
  drop_entry(line, entry, id)
  if free then
    redis.call('HINCRBY', key.meta, 'dead', -1)
  elseif live and not ended_or_delayed(id, record) then
    redis.call('HDEL', key.leases, id)
    give_back(id, record)
  end
end

function mend.leases(id, lease)
  local entry, line, worker = string.match(lease, '^([%d-]+)|(.)|%d+|(.*)$')
  local record = redis.call('HGET', key.jobs, id)
  if redis.call('HGET', key.leases, id) ~= lease then
    return
  end
  local over = not record or ended_or_delayed(id, record)
  -- A worker without any row was never reaped and never will be.
  local owned = entry and pends(line, entry) and redis.call('HEXISTS', key.workers, worker) == 1
  if over or not owned then
    redis.call('HDEL', key.leases, id)
    if entry then
      drop_entry(line, entry, id)
    end
    if not over then
      give_back(id, record)
    end
  end
end

function mend.jobs(id)
  local record = redis.call('HGET', key.jobs, id)
  if record and redis.call('HEXISTS', key.leases, id) == 0 and not ended_or_delayed(id, record) then
    give_back(id, record)
  end
end

function mend.delayed(member)
  local id = string.sub(member, 9)
  local record = redis.call('HGET', key.jobs, id)
  if not record or string.sub(record, 1, 6) ~= string.sub(member, 3, 8) then
    redis.call('ZREM', key.delayed, member)
    mended[#mended + 1] = id
  end
end

-- An index, a run without its record; or an ended job that is delayed as well (its end came last).
local function mend_index(id)
  local record = redis.call('HGET', key.jobs, id)
  local member = record and delayed_member(id, record)
  if member then
    redis.call('ZREM', key.delayed, member)
  elseif not record then
    forget({ id })
    redis.call('ZREM', key.completed, id)
    redis.call('ZREM', key.failed, id)
    redis.call('ZREM', key.parked, id)
  else
    return
  end
  mended[#mended + 1] = id
end
mend.completed, mend.failed, mend.parked, mend.runs = mend_index, mend_index, mend_index, mend_index

function mend.dead()
  redis.call('HSET', key.meta, 'dead', 0)
end

local width = (arg.what == 'line' or arg.what == 'leases') and 2 or 1
if n == 0 then
  if arg.what == 'groups' or arg.what == 'dead' then
    mend[arg.what]()
  end
end
for _ = 1, n do
  mend[arg.what](unpack(ARGV, take(width)))
end
for _, id in ipairs(returned) do
  mended[#mended + 1] = id
end
count('repaired', #mended)
tell_ids('waiting', returned)
wake_up(m, now, false, false)
return { now, mended }
