-- clean: ended jobs older than a time go; this is retention by age, too.
--
-- From     completed, failed, parked    To   (absent)
-- Bound    1,000 jobs a call
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels wake wake0 meta stats
--          events logs wait
-- ARGV     now state older_than_ms limit lease_ms
-- USES     clock lines rate count tell finish wake
-- RETURNS  now, how many went, 1 if more are there
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
redis.call('HDEL', key.meta, '') -- a delete first: a full Redis lets the rest pass
local limit = math.min(tonumber(arg.limit), 1000)
local set = key[arg.state]
-- `lease_ms` set: retention on its own, which waits while nobody may be judged (the clock jumped).
if arg.lease_ms ~= '' and now < tonumber(redis.call('HGET', key.meta, 'judge_from') or 0) then
  return { now, 0, 0 }
end
local ids = redis.call('ZRANGEBYSCORE', set, '-inf', now - tonumber(arg.older_than_ms), 'LIMIT', 0,
  limit)
if #ids > 0 then
  forget(ids)
  redis.call('ZREM', set, unpack(ids))
  count('cleaned', #ids)
  tell_ids('removed', ids)
end
wake_up(m, now, false, false)
return { now, #ids, #ids == limit and 1 or 0 }
