-- enqueue: a job at the end of a line. A value is mark (1), ticket (6) and id.

local opened = {} -- by this call

-- Makes the line and its group on first use; `meta.lines` holds the priorities in use, sorted.
local function open_line(m, line)
  if opened[line] or string.find(m.lines, line, 1, true) then
    return
  end
  -- A group that is there already is no error: `meta` was lost, or a script ended early.
  local made = redis.pcall('XGROUP', 'CREATE', key.wait[line], 'workers', '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    error(made.err)
  end
  if line ~= '0' and line ~= ';' then
    local all = {}
    for known in string.gmatch(m.lines .. line, '.') do
      all[#all + 1] = known
    end
    table.sort(all)
    m.lines = table.concat(all)
    redis.call('HSET', key.meta, 'lines', m.lines)
  end
  opened[line] = true
end

local function enqueue(m, line, value)
  open_line(m, line)
  redis.call('XADD', key.wait[line], '*', 'j', value)
end

-- One ticket a call: an entry whose ticket is not the record's is dead.
local function draw_ticket()
  return struct.pack('>I6', redis.call('HINCRBY', key.meta, 'ticket', 1))
end
