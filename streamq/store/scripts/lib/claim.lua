-- claim: entries of a line become leases of a worker.

local CLAIM_BYTES_MAX = 1048576 -- in one reply; past it a claim comes without its record and run
local DEAD_MAX = 1000 -- dead entries that one call drops
local NEW = 110 -- the mark n: never run
local byte, sub = string.byte, string.sub

-- Claims up to `want` of one line. Appends to `out` the line; entry, value and record of each
-- claim, flat; the runs of those that have one. Returns claims, and dead entries, dropped here.
local function claim_line(out, line, want, fence)
  local stream = key.wait[line]
  if redis.call('XLEN', stream) == 0 then
    return 0, 0
  end
  local read = redis.call('XREADGROUP', 'GROUP', 'workers', arg.worker, 'COUNT', want, 'STREAMS',
    stream, '>')
  if not read then
    return 0, 0
  end
  local entries, ids = read[1][2], {}
  for i = 1, #entries do
    ids[i] = sub(entries[i][2][2], 8)
  end
  local records = redis.call('HMGET', key.jobs, unpack(ids))
  local suffix = string.format('|%s|%.0f|%s', line, fence, arg.worker)
  local leases, flat, with_run, place_of, dead = {}, {}, {}, {}, {}
  local live, n, k, bytes = out.ids, 0, 0, out.bytes
  for i = 1, #entries do
    local record, entry, value, id = records[i], entries[i][1], entries[i][2][2], ids[i]
    if record and sub(record, 1, 6) == sub(value, 2, 7) then
      leases[n + 1], leases[n + 2] = id, entry .. suffix
      live[#live + 1] = id
      bytes = bytes + #record
      flat[k + 1], flat[k + 2], flat[k + 3] = entry, value, bytes > CLAIM_BYTES_MAX and '' or record
      n, k = n + 2, k + 3
      if byte(value) ~= NEW then
        with_run[#with_run + 1], place_of[#place_of + 1] = id, k
      end
    else
      -- Removed, added anew or moved since: another entry speaks for the id, or none does.
      dead[#dead + 1] = entry
    end
  end
  if #leases > 0 then
    if not out.fenced then
      -- Before the first lease that carries it: a script that ends here must not give it out twice.
      redis.call('HSET', key.meta, 'fence', string.format('%.0f', fence))
      out.fenced = true
    end
    redis.call('HSET', key.leases, unpack(leases))
  end
  if #dead > 0 then
    redis.call('XACK', stream, 'workers', unpack(dead))
    redis.call('XDEL', stream, unpack(dead))
    redis.call('HINCRBY', key.meta, 'dead', -#dead)
  end
  local runs = #with_run > 0 and redis.call('HMGET', key.runs, unpack(with_run)) or {}
  for i = 1, #runs do
    bytes = bytes + (runs[i] and #runs[i] or 0)
    if bytes > CLAIM_BYTES_MAX then
      flat[place_of[i]], runs[i] = '', ''
    end
  end
  out.bytes = bytes
  local at = #out
  out[at + 1], out[at + 2], out[at + 3] = line, flat, runs
  return #leases / 2, #dead
end

-- Goes through the lines in their order until `slots` claims are made. `share` bounds what is
-- taken of the jobs that were given back. Returns claims, dead entries, and whether every line ran
-- dry: nothing is left in them that could be claimed.
local function claim_lines(out, order, slots, share, fence)
  local claimed, dropped, dry = 0, 0, true
  for line in string.gmatch(order, '.') do
    local taken, got, want = 0, 0, 0
    repeat
      want = slots - claimed
      if line == '0' then
        want = math.min(want, share - taken)
      end
      if want <= 0 or dropped >= DEAD_MAX then
        dry = false
        break
      end
      local n, dead = claim_line(out, line, want, fence)
      claimed, taken, dropped, got = claimed + n, taken + n, dropped + dead, n + dead
    until got < want
  end
  return claimed, dropped, dry
end
