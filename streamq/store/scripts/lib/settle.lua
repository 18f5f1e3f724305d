-- settle: is a lease still the stored one, is a job flagged, and a job's own log lines.

local LOG_BYTES_MAX = 65536 -- of log lines kept of one job, the newest

-- The ids ARGV[first..last] whose stored lease is not the one that stands from ARGV[lease] on.
local function differing_leases(first, last, lease)
  local held, refused = redis.call('HMGET', key.leases, unpack(ARGV, first, last)), {}
  for i = first, last do
    if held[i - first + 1] ~= ARGV[lease + i - first] then
      refused[#refused + 1] = ARGV[i]
    end
  end
  return refused
end

-- The tail of the lease that comes as the i-th (from 0): tails ARGV[tail..], two bytes of `which`
-- say which one, and nothing if there is one only.
local function tail_of(tail, which, i)
  if which == '' then
    return ARGV[tail]
  end
  local high, low = string.byte(which, 2 * i + 1, 2 * i + 2)
  return ARGV[tail + high * 256 + low]
end

-- The same, of leases that come in two parts: entries ARGV[entry..], and tails that many share.
local function differing_parts(first, last, entry, tail, which)
  local held, refused = redis.call('HMGET', key.leases, unpack(ARGV, first, last)), {}
  local shared = which == '' and ARGV[tail]
  for i = 0, last - first do
    if held[i + 1] ~= ARGV[entry + i] .. (shared or tail_of(tail, which, i)) then
      refused[#refused + 1] = ARGV[first + i]
    end
  end
  return refused
end

-- Acknowledges and deletes the first `n` of these entries, line by line: a tail begins with |line|.
local function ack_entries(entry, n, tail, which)
  local by_line = {}
  for i = 0, n - 1 do
    local line = string.sub(tail_of(tail, which, i), 2, 2)
    local entries = by_line[line] or {}
    entries[#entries + 1], by_line[line] = ARGV[entry + i], entries
  end
  for line, entries in pairs(by_line) do
    redis.call('XACK', key.wait[line], 'workers', unpack(entries))
    redis.call('XDEL', key.wait[line], unpack(entries))
  end
end

-- Appends id and flag of those ids of ARGV[first..last] that an operator cancelled or removed,
-- unless that is honoured: a job that was cancelled, and removed since, must go (from `gone` on).
local function read_flags(flagged, first, last, honoured, gone)
  if last < first or redis.call('HLEN', key.cancels) == 0 then
    return
  end
  local flags = redis.call('HMGET', key.cancels, unpack(ARGV, first, last))
  for i = first, last do
    local flag = flags[i - first + 1]
    if flag and not (honoured[ARGV[i]] and (flag ~= 'r' or i >= gone)) then
      flagged[#flagged + 1], flagged[#flagged + 2] = ARGV[i], flag
    end
  end
end

-- The same of new claims: what an operator said while they waited.
local function flag_claims(flagged, ids)
  if #ids == 0 or redis.call('HLEN', key.cancels) == 0 then
    return
  end
  local flags = redis.call('HMGET', key.cancels, unpack(ids))
  for i = 1, #ids do
    if flags[i] then
      flagged[#flagged + 1], flagged[#flagged + 2] = ids[i], flags[i]
    end
  end
end

-- The runs ARGV[run..] of the ids ARGV[first..last]; an empty one leaves what stands.
local function write_runs(first, last, run)
  local runs, n = {}, 0
  for i = first, last do
    local value = ARGV[run + i - first]
    if value ~= '' then
      runs[n + 1], runs[n + 2] = ARGV[i], value
      n = n + 2
    end
  end
  if n > 0 then
    redis.call('HSET', key.runs, unpack(runs))
  end
end

local function append_log(id, text)
  local all = (redis.call('HGET', key.logs, id) or '') .. text
  if #all > LOG_BYTES_MAX then
    -- From the first whole line that still fits.
    local cut = string.find(all, '\n', #all - LOG_BYTES_MAX + 1, true) or (#all - LOG_BYTES_MAX)
    all = string.sub(all, cut + 1)
  end
  redis.call('HSET', key.logs, id, all)
end
