-- limit: pause, resume, and the limits that hold for the whole fleet.
--
-- From     (any)                        To   (same)
-- Bound    one queue
-- KEYS     leases delayed wake wake0 meta wait
-- ARGV     now version paused max_active rate
-- USES     clock lines rate wake
-- RETURNS  now, the new version of the settings
-- ERRORS   LAYOUT; VERSION: the settings are not the ones that the caller read (a late copy, or
--          another operator was first)

local m, refusal = read_meta()
if refusal then
  return refusal
end
local version = redis.call('HGET', key.meta, 'version') or '0'
if version ~= arg.version then
  return redis.error_reply('VERSION ' .. version)
end
local now = read_clock()
-- Empty leaves it as it is, "-" goes back to what the code says, 0 (0/0) is no limit.
local function set(field, value)
  if value == '' then
    return
  end
  if value == '-' then
    value = redis.call('HGET', key.meta, 'code_' .. field) or ''
    redis.call('HDEL', key.meta, 'own_' .. field)
  else
    redis.call('HSET', key.meta, 'own_' .. field, value)
  end
  if value == '' or value == '0' or value == '0/0' then
    redis.call('HDEL', key.meta, field)
  else
    redis.call('HSET', key.meta, field, value)
  end
end
redis.call('HDEL', key.meta, '')
set('max_active', arg.max_active)
set('rate', arg.rate)
if arg.paused == '1' then
  -- Tokens first: a lost one is pushed anew by the next beat, one that stays wakes for nothing.
  redis.call('DEL', key.wake, key.wake0)
  redis.call('HSET', key.meta, 'paused', '1')
elseif arg.paused == '0' then
  redis.call('HDEL', key.meta, 'paused')
end
local reply = { now, redis.call('HINCRBY', key.meta, 'version', 1) }
m = read_meta()
wake_up(m, now, false, false)
return reply
