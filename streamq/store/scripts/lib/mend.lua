-- mend: what stands about a job besides its record, compared and put right.

local mended, given, standing, dead_dropped = {}, {}, {}, 0
local used = { ticket = 0, fence = 0 } -- the highest that were seen

-- Whether a lease's entry is given out in its line. Without its stream or group nothing is.
local function pends(line, entry)
  local found = redis.pcall('XPENDING', key.wait[line], 'workers', entry, entry, 1)
  if found.err and not string.find(found.err, 'NOGROUP', 1, true) then
    error(found.err)
  end
  return not found.err and #found > 0
end

-- Entry, line and worker of a lease; nil if it is none.
local function read_lease(lease)
  local entry, line, fence, worker = string.match(lease, '^(%d+%-%d+)|([0-;])|(%d+)|(.+)$')
  used.fence = math.max(used.fence, tonumber(fence or 0))
  return entry, line, worker
end

-- The record of a job, or false.
local function read_record(id)
  local record = redis.call('HGET', key.jobs, id)
  if record and #record >= 6 then
    used.ticket = math.max(used.ticket, (struct.unpack('>I6', record)))
  end
  return record
end

-- Should `meta` have been lost: no ticket and no fence is given out twice.
local function raise_counters()
  for field, highest in pairs(used) do
    if highest > tonumber(redis.call('HGET', key.meta, field) or 0) then
      redis.call('HSET', key.meta, field, string.format('%.0f', highest))
    end
  end
end

-- The record of a job that stands nowhere, unless in a line.
local function find_lost(id)
  local record = read_record(id)
  return record and redis.call('HEXISTS', key.leases, id) == 0 and not place_of(id, record)
    and record
end

local function is_live(record, value)
  return record and string.sub(record, 1, 6) == string.sub(value, 2, 7)
end

local function drop_entry(line, entry, id)
  let_go(line, entry)
  mended[#mended + 1] = id
end

-- Back to a line under a new ticket: should an entry of it stand somewhere after all, it is dead.
local function give_back(m, id, record, value)
  local mark = value and string.sub(value, 1, 1) == 'f' and 'f' or 'r'
  local ticket = draw_ticket()
  redis.call('HSET', key.jobs, id, ticket .. string.sub(record, 7))
  enqueue(m, '0', mark .. ticket .. id)
  mended[#mended + 1], given[#given + 1], standing[#standing + 1] = id, id, id
end

-- One entry against its job. `free`: nobody was given it.
local function mend_entry(m, line, entry, value, free)
  local id = string.sub(value, 8)
  local record, lease = read_record(id), redis.call('HGET', key.leases, id)
  if not is_live(record, value) then
    drop_entry(line, entry, id)
    if free then
      redis.call('HINCRBY', key.meta, 'dead', -1)
      dead_dropped = dead_dropped + 1
    end
    return
  end
  local leased, leased_line = read_lease(lease or '')
  if not leased or not pends(leased_line, leased) then
    leased = nil
  end
  if place_of(id, record) then
    drop_entry(line, entry, id)
  elseif leased and (leased ~= entry or leased_line ~= line) then
    drop_entry(line, entry, id)
  elseif leased or free then
    if lease and not leased then
      redis.call('HDEL', key.leases, id)
    end
    standing[#standing + 1] = id
  else
    drop_entry(line, entry, id)
    redis.call('HDEL', key.leases, id)
    give_back(m, id, record, value)
  end
end

local function mend_lease(m, id, lease)
  local entry, line, worker = read_lease(lease)
  local record = read_record(id)
  local over = not record or place_of(id, record)
  -- A worker without a turn was reaped to the end, or never will be.
  if not over and entry and pends(line, entry)
    and redis.call('HEXISTS', key.turns, worker) == 1 then
    return
  end
  local value = entry and value_of(line, entry)
  if entry then
    let_go(line, entry)
  end
  redis.call('HDEL', key.leases, id)
  if over then
    mended[#mended + 1] = id
  else
    give_back(m, id, record, value)
  end
end
