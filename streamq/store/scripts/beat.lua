-- beat: the workers of one process live; and which chore is this process's to do.
--
-- From     (any)                        To   (same)
-- Bound    64 workers, 1,000 rows looked at, 50 dead ones named, 400 rows swept
-- KEYS     jobs leases delayed completed failed parked cancels workers turns adds wake wake0 meta
--          stats minutes hours wait
-- ARGV     now lease_ms keep_completed_ms keep_failed_ms duty | n worker ids
-- USES     clock lines rate sections judge history enqueue count wake
-- RETURNS  now, ids that are gone, flagged (id flag), chores (each a name and its arguments)
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now = read_clock()
local lease_ms = tonumber(arg.lease_ms)
-- A delete first: a full Redis then lets the rest of the script pass, and nobody looks dead.
redis.call('HDEL', key.turns, '')

local gone, chores = {}, {}
for _ = 1, take_count() do
  local worker = ARGV[take(1)]
  -- No number: it is dead, and its reap goes on.
  local number = string.match(redis.call('HGET', key.turns, worker) or '', '^%d+')
  if number then
    redis.call('HSET', key.turns, worker, string.format('%s:%.0f', number, now))
  else
    gone[#gone + 1] = worker
  end
end

local judging = may_judge(now, lease_ms)
local silent = silent_workers(now, lease_ms)
if judging and #silent > 0 and due_once(now, 'reap_at', lease_ms / 6) then
  -- All of them (at most 50) to one process: a dead host's workers must not wait for a beat each.
  chores[#chores + 1] = { 'reap', unpack(silent, 1, math.min(#silent, 50)) }
end

-- Age of the oldest of a state that retention has to let go.
local function too_old(set, keep_ms)
  local oldest = keep_ms ~= '' and redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  return oldest and now - tonumber(oldest) > tonumber(keep_ms)
end
if judging then
  for _, state in ipairs({ 'completed', 'failed' }) do
    if too_old(key[state], arg['keep_' .. state .. '_ms'])
      and due_once(now, 'retain_' .. state, 5000) then
      chores[#chores + 1] = { 'retain', state }
    end
  end
end
if redis.call('ZCARD', key.parked) > 0 and due_once(now, 'unpark_at', 60000) then
  chores[#chores + 1] = { 'unpark' }
end

-- Suspects run in a one-slot process of one daemon, which holds the duty by lease.
if arg.duty ~= '' and has_free(';') then
  local held = redis.call('HMGET', key.meta, 'duty_by', 'duty_until')
  if held[1] == arg.duty or not held[2] or tonumber(held[2]) < now
    or tonumber(held[2]) > now + lease_ms then
    redis.call('HSET', key.meta, 'duty_by', arg.duty)
    mark('duty_until', now + lease_ms)
    chores[#chores + 1] = { 'alone' }
  end
end

if due_once(now, 'minute_at', 60000) then
  write_sums(key.minutes, MINUTES_KEPT, now, 'minute_sums')
  if judging then
    -- After a jump forward a producer's last number would look old, and its repeated add new.
    sweep(now)
  end
end
if due_once(now, 'hour_at', 3600000) then
  write_sums(key.hours, HOURS_KEPT, now, 'hour_sums')
end
local flagged = {}
if redis.call('HLEN', key.cancels) > 0 then
  flagged = redis.call('HGETALL', key.cancels)
end
-- Every other script left a token where jobs were free: somebody took it and did not look.
if wake_up(m, now, false, false) then
  count('wake_lost', 1)
end
return { now, gone, flagged, chores }
