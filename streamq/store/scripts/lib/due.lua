-- due: delayed jobs whose time has come go to their lines. A member is line (1) and value
-- (mark 1, ticket 6, id).

-- The member leaves `delayed` before the entry is made: a script that ends between the two leaves
-- a job without a place, which `repair` finds; the other order would leave two live entries.
local function promote_members(m, members)
  if #members == 0 then
    return
  end
  redis.call('ZREM', key.delayed, unpack(members))
  local ids = {}
  for i = 1, #members do
    enqueue(m, string.sub(members[i], 1, 1), string.sub(members[i], 2))
    ids[i] = string.sub(members[i], 9)
  end
  tell_ids('waiting', ids)
end

-- At most `limit` (1,000 or fewer) of the jobs that are due by now. Returns how many, and when the
-- next one is due.
local function promote_due(m, now, limit)
  local next_due = earliest_due()
  if not next_due or next_due > now then
    return 0, next_due
  end
  local due = redis.call('ZRANGEBYSCORE', key.delayed, '-inf', now, 'LIMIT', 0, limit)
  promote_members(m, due)
  return #due, earliest_due()
end
