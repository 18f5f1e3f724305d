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

-- Appends id and flag of those ids of ARGV[first..last] that an operator cancelled or removed.
local function read_flags(flagged, first, last)
  if last < first or redis.call('HLEN', key.cancels) == 0 then
    return
  end
  local flags = redis.call('HMGET', key.cancels, unpack(ARGV, first, last))
  for i = first, last do
    if flags[i - first + 1] then
      flagged[#flagged + 1] = ARGV[i]
      flagged[#flagged + 1] = flags[i - first + 1]
    end
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
