-- sections: the trailing part of ARGV, taken piece by piece in the order that the header gives.

local at = ARGV_FIRST -- the next value that nobody took

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
