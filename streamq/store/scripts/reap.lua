-- reap: a dead worker's jobs are given back; those that may not run again are failed or parked.
--
-- From     active                       To   waiting, failed, parked
-- Bound    200 pending entries and 200 verdicts a call
-- KEYS     jobs runs leases delayed completed failed parked stalls cancels workers turns wake wake0
--          meta stats events logs wait
-- ARGV     now worker lease_ms seen evidence deaths_max
--          | n verdicts: id, lease, line, entry, run, state (of the doomed that an earlier
--          call named; state removed: nothing is kept)
-- USES     clock lines rate sections places enqueue count tell finish wake
-- RETURNS  now, word (alive: nothing done; more: call again; done), ids given back, then for each
--          doomed: id, lease, line, entry, run, why (cancelled, removed, poison, suspect, lost)
-- ERRORS   LAYOUT

local m, refusal = read_meta()
if refusal then
  return refusal
end
local now, PENDING_MAX = read_clock(), 200

-- Judged again, by who does it: the beat that named this worker may be long ago.
local row = redis.call('HGET', key.workers, arg.worker)
local heard = string.match(redis.call('HGET', key.turns, arg.worker) or '', '^%d+:(%d+)$')
if heard and arg.seen ~= '1' then
  local judge_from = tonumber(redis.call('HGET', key.meta, 'judge_from') or 0)
  if now < judge_from or now - tonumber(heard) <= tonumber(arg.lease_ms) then
    return { now, 'alive', {} }
  end
end
-- Marked first, and for ever: whatever this worker still sends is answered GONE. The mark stays
-- until all is given back, with the time: if whoever reaps ends half way, `beat` names it again.
redis.call('HDEL', key.turns, '')
redis.call('HSET', key.turns, arg.worker, string.format('-1:%.0f', now))
if row and string.sub(row, 1, 1) == '+' then
  local kind = string.sub(row, 2, 2)
  redis.call('HSET', key.workers, arg.worker,
    '-' .. kind .. string.format('%013.0f', now) .. string.sub(row, 3))
end
if m.timer_by == arg.worker then
  redis.call('HDEL', key.meta, 'timer_at', 'timer_by')
  m.timer_at = nil
end

for _ = 1, take_count() do
  local id, lease, line, entry, run, state = unpack(ARGV, take(6))
  if redis.call('HGET', key.leases, id) == lease then
    local flag = redis.call('HGET', key.cancels, id)
    if state == 'removed' or flag == 'r' then -- said since the job was named
      state = 'removed'
      forget({ id })
    else
      redis.call('HSET', key.runs, id, run)
      redis.call('ZADD', key[state], now, id)
    end
    let_go(line, entry)
    redis.call('HDEL', key.cancels, id)
    redis.call('HDEL', key.leases, id)
    local poison = line == ';' and arg.evidence == '1' and state == 'failed' and not flag
    count('poison', poison and 1 or 0)
    count(state, 1)
    count('stalls', 1)
    tell({ state, id }, 1)
  end
end

local daemon_lives = false
for _, value in ipairs(redis.call('HVALS', key.workers)) do
  daemon_lives = daemon_lives or string.sub(value, 1, 2) == '+d'
end

-- Where the job goes and its deaths from now on; or why it goes nowhere.
local function judge(id, line)
  local flag = redis.call('HGET', key.cancels, id)
  if flag then
    return nil, nil, flag == 'r' and 'removed' or 'cancelled'
  end
  local deaths = redis.call('HGET', key.stalls, id) or '0 0'
  local guilty, blameless = string.match(deaths, '(%d+) (%d+)')
  guilty, blameless = tonumber(guilty), tonumber(blameless)
  if arg.evidence == '1' then
    guilty = guilty + 1
    if line == ';' then
      return nil, nil, 'poison'
    elseif guilty >= 2 and not daemon_lives then
      return nil, nil, 'suspect'
    end
  else
    blameless = blameless + 1
    if blameless >= tonumber(arg.deaths_max) then
      return nil, nil, 'lost'
    end
  end
  local suspect = guilty >= 2 or line == ';'
  return suspect and ';' or '0', string.format('%d %d', guilty, blameless)
end

local given, reply, looked, left = {}, {}, 0, 0
for line in string.gmatch('0;' .. m.lines, '.') do
  local want, pending = PENDING_MAX - looked, {}
  if want > 0 and redis.call('XLEN', key.wait[line]) > 0 then
    pending = redis.call('XPENDING', key.wait[line], 'workers', '-', '+', want, arg.worker)
  end
  for _, p in ipairs(pending) do
    local entry = p[1]
    local value = value_of(line, entry)
    local id = value and string.sub(value, 8) or ''
    local lease, record = redis.call('HGET', key.leases, id), redis.call('HGET', key.jobs, id)
    local mine = entry .. '|' .. line .. '|'
    local live = record and value and string.sub(record, 1, 6) == string.sub(value, 2, 7)
    local held = not lease or string.sub(lease, 1, #mine) == mine
    if live and held and not place_of(id, record) then
      local to, deaths, why = judge(id, line)
      if why then
        lease = lease or mine .. '0|' .. arg.worker
        redis.call('HSET', key.leases, id, lease)
        left = left + 1
        for _, v in ipairs({ id, lease, line, entry, redis.call('HGET', key.runs, id), why }) do
          reply[#reply + 1] = v
        end
      else
        redis.call('HDEL', key.leases, id)
        let_go(line, entry)
        redis.call('HSET', key.stalls, id, deaths)
        -- Fresh attempts stay fresh: a crash is not one.
        local mark = string.sub(value, 1, 1) == 'f' and 'f' or 'r'
        enqueue(m, to, mark .. string.sub(value, 2))
        given[#given + 1] = id
      end
    else
      -- Nobody's, or settled by a step that ended early.
      let_go(line, entry)
      if lease and held then
        redis.call('HDEL', key.leases, id)
      end
    end
  end
  looked = looked + #pending
end
count('stalls', #given)
tell_ids('waiting', given)
local word = (looked >= PENDING_MAX or left > 0) and 'more' or 'done'
if word == 'done' then
  for line in string.gmatch('0;' .. m.lines, '.') do
    -- Nothing pends under its name by now, so the consumer goes without taking an entry along.
    redis.pcall('XGROUP', 'DELCONSUMER', key.wait[line], 'workers', arg.worker)
  end
  redis.call('HDEL', key.turns, arg.worker)
end
wake_up(m, now, false, false)
return { now, word, given, unpack(reply) }
