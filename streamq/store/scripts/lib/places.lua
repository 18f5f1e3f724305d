-- places: where a job stands, found from its record.

local heads = {} -- of a member of `delayed`: each line with each mark
for line in string.gmatch('0123456789:;', '.') do
  for mark in string.gmatch('nrf', '.') do
    heads[#heads + 1] = line .. mark
  end
end

-- The member of `delayed` that holds the job, and its due time.
local function delayed_member(id, record)
  if redis.call('ZCARD', key.delayed) == 0 then
    return
  end
  local members, tail = {}, string.sub(record, 1, 6) .. id
  for i = 1, #heads do
    members[i] = heads[i] .. tail
  end
  local scores = redis.call('ZMSCORE', key.delayed, unpack(members))
  for i = 1, #members do
    if scores[i] then
      return members[i], scores[i]
    end
  end
end

-- Where a job with a record stands, lines and leases left aside; with `delayed` its member and due
-- time. Nil: in a line, or nowhere.
local function place_of(id, record)
  for _, state in ipairs({ 'completed', 'failed', 'parked' }) do
    if redis.call('ZSCORE', key[state], id) then
      return state
    end
  end
  local member, due = delayed_member(id, record)
  if member then
    return 'delayed', member, due
  end
end

-- The state of a job with a record. `waiting` is what is left: no line is searched.
local function state_of(id, record)
  if redis.call('HEXISTS', key.leases, id) == 1 then
    return 'active'
  end
  local state, member, due = place_of(id, record)
  return state or 'waiting', member, due
end
