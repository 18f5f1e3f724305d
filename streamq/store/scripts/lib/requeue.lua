-- requeue: jobs of a set wait again; what `retry` and `unpark` have in common.

-- Takes n, ids and lines from ARGV. A new entry carries `mark`. An operator's word (`forgive`)
-- clears the deaths that were held against a job. Returns a reply of now and for each id 1 or 0,
-- and how many there were.
local function requeue(m, now, set, mark, forgive)
  local n = take_count()
  local ids, lines = take(n), take(n)
  local reply, moved = { now }, {}
  redis.call('HDEL', key.stalls, '') -- a first write that a full Redis allows
  for i = 0, n - 1 do
    local id = ARGV[ids + i]
    local record = redis.call('ZSCORE', set, id) and redis.call('HGET', key.jobs, id)
    reply[#reply + 1] = record and 1 or 0
    if record then
      if forgive then
        redis.call('HDEL', key.stalls, id)
      end
      redis.call('ZREM', set, id)
      enqueue(m, ARGV[lines + i], mark .. string.sub(record, 1, 6) .. id)
      moved[#moved + 1] = id
    end
  end
  tell_ids('waiting', moved)
  return reply, #moved
end
