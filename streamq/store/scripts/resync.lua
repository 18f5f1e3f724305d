-- resync: what a worker holds, after a reply that did not come or on a new connection.
--
-- From     active                       To   (same)
-- Bound    1,000 held, 1,000 pending entries a line; 1 MiB of records out
-- KEYS     jobs runs leases delayed completed failed parked turns wake wake0 meta wait
-- ARGV     now worker turn | n ids, leases (held: running, or settled without an answer)
-- USES     clock lines rate sections settle places enqueue wake
-- RETURNS  now, ids that are held no more, then for each claim that the worker does not know:
--          line, entry, value, record ('' past the byte budget), run, lease
-- ERRORS   GONE; STALE: the number is not above the stored one

local stored = redis.call('HGET', key.turns, arg.worker)
local last_turn = string.match(stored or '', '^%d+')
if not last_turn then
  return redis.error_reply('GONE ' .. arg.worker)
end
if tonumber(arg.turn) <= tonumber(last_turn) then
  return redis.error_reply('STALE ' .. arg.turn .. ' ' .. stored)
end
local m, refusal = read_meta()
if refusal then
  return refusal
end
local now, now_us = read_clock()
local n = take_count()
local first_id, last_id = take(n)
local first_lease = take(n)
local refused, held = {}, {}
if n > 0 then
  refused = differing_leases(first_id, last_id, first_lease)
  for i = 0, n - 1 do
    held[ARGV[first_lease + i]] = true
  end
end

redis.call('HDEL', key.turns, '')
local reply, bytes = { now, refused }, 0
local fence = math.max(m.fence + 1, now_us)

-- One pending entry: told as a claim, unless the worker knows it; acked away if it is nobody's.
local function look_at(line, entry, value)
  local id = value and string.sub(value, 8)
  local lease = id and redis.call('HGET', key.leases, id)
  local mine = entry .. '|' .. line .. '|'
  local record = id and redis.call('HGET', key.jobs, id)
  if record and not lease and string.sub(record, 1, 6) == string.sub(value, 2, 7)
    and not place_of(id, record) then
    -- A claim that ended between its entry and its lease.
    lease = mine .. string.format('%.0f|', fence) .. arg.worker
    redis.call('HSET', key.meta, 'fence', string.format('%.0f', fence))
    redis.call('HSET', key.leases, id, lease)
  elseif not record or not lease or string.sub(lease, 1, #mine) ~= mine then
    let_go(line, entry)
    return
  end
  if not held[lease] then
    local run = redis.call('HGET', key.runs, id)
    bytes = bytes + #record + #(run or '')
    local over, k = bytes > 1048576, #reply -- then both are fetched, as in a claim
    reply[k + 1], reply[k + 2], reply[k + 3] = line, entry, value
    reply[k + 4], reply[k + 5], reply[k + 6] = over and '' or record, over and '' or run, lease
  end
end

for line in string.gmatch('0;' .. m.lines, '.') do
  if redis.call('XLEN', key.wait[line]) > 0 then
    local read = redis.call('XREADGROUP', 'GROUP', 'workers', arg.worker, 'COUNT', 1000, 'STREAMS',
      key.wait[line], '0')
    for _, pending in ipairs(read and read[1][2] or {}) do
      look_at(line, pending[1], pending[2] and pending[2][2])
    end
  end
end
wake_up(m, now, false, false)
redis.call('HSET', key.turns, arg.worker, string.format('%s:%.0f', arg.turn, now))
return reply
