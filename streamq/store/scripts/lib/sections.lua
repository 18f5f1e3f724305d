-- sections: the trailing part of ARGV, taken piece by piece in the order that the header gives.

local at = ARGV_FIRST -- the next value that nobody took
local PAIRS_MAX = 500 -- of a variadic call: `unpack` fails near 8,000 values

-- The next count of the header's list.
local function take_count()
  at = at + 1
  return tonumber(ARGV[at - 1])
end

-- The next `n` values: first and last index (last < first: none).
local function take(n)
  at = at + n
  return at - n, at - 1
end

-- A variadic write of pairs or singles ARGV[first..last] in bounded pieces.
local function write_all(command, to, first, last)
  for i = first, last, PAIRS_MAX * 2 do
    redis.call(command, to, unpack(ARGV, i, math.min(i + PAIRS_MAX * 2 - 1, last)))
  end
end
