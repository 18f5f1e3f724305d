-- tell: transitions into `events`: pairs of a state and the ids that reached it.

local EVENTS_KEPT = 10000 -- transitions, about
local EVENT_IDS_MAX = 200 -- in one entry

-- The cap counts transitions, not entries: an entry of n leaves room for EVENTS_KEPT / n of them.
local function tell(fields, transitions)
  local cap = math.max(50, math.floor(EVENTS_KEPT / math.max(1, transitions)))
  redis.call('XADD', key.events, 'MAXLEN', '~', cap, '*', unpack(fields))
end

local function tell_ids(state, ids)
  for first = 1, #ids, EVENT_IDS_MAX do
    local last = math.min(first + EVENT_IDS_MAX - 1, #ids)
    tell({ state, table.concat(ids, ' ', first, last) }, last - first + 1)
  end
end
