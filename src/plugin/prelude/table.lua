-- Tables. Those in C cannot be interrupted: `__len` may say that there are 2^62 elements, a comparison may never
-- end. These can, and what they call may wait.
local raw, host, globals, ours = ...
local raise = ours.raise
local type, select = raw.type, raw.select
local c_concat, c_unpack = raw.table.concat, raw.table.unpack
local c_tonumber, c_tointeger = raw.tonumber, raw.math.tointeger

local maxinteger = raw.math.maxinteger
local lib = { pack = raw.table.pack }
globals.table = lib

local function check(t, n, name)
  if type(t) ~= "table" then
    raise("bad argument #" .. n .. " to '" .. name .. "' (table expected, got " .. type(t) .. ")")
  end
end

local function integer(v, n, name)
  local i = c_tointeger(v)
  if i then return i end
  local got = c_tonumber(v) and "number has no integer representation" or "number expected, got " .. type(v)
  raise("bad argument #" .. n .. " to '" .. name .. "' (" .. got .. ")")
end

function lib.insert(t, ...)
  check(t, 1, "insert")
  local e = #t + 1
  local n = select("#", ...)
  if n == 1 then
    t[e] = (...)
  elseif n == 2 then
    local position, v = ...
    position = integer(position, 2, "insert")
    if position < 1 or position > e then
      raise("bad argument #2 to 'insert' (position out of bounds)")
    end
    for i = e, position + 1, -1 do t[i] = t[i - 1] end
    t[position] = v
  else
    raise("wrong number of arguments to 'insert'")
  end
end

function lib.remove(t, position)
  check(t, 1, "remove")
  local size = #t
  if position == nil then
    position = size
  else
    position = integer(position, 2, "remove")
    -- "size + 1" too is fine.
    if size + 1 ~= position and (position < 1 or position > size + 1) and not (size == 0 and position == 0) then
      raise("bad argument #2 to 'remove' (position out of bounds)")
    end
  end
  local v = t[position]
  while position < size do
    t[position] = t[position + 1]
    position = position + 1
  end
  if position <= size or position == size + 1 then t[position] = nil end
  return v
end

function lib.move(from, first, last, at, to)
  check(from, 1, "move")
  first, last, at = integer(first, 2, "move"), integer(last, 3, "move"), integer(at, 4, "move")
  if to == nil then to = from else check(to, 5, "move") end
  if last < first then return to end
  if not (first > 0 or last < maxinteger + first) then
    raise("bad argument #3 to 'move' (too many elements to move)")
  elseif at > maxinteger - (last - first) then
    raise("bad argument #4 to 'move' (destination wrap around)")
  end
  if at > last or at <= first or to ~= from then
    for i = 0, last - first do to[at + i] = from[first + i] end
  else
    for i = last - first, 0, -1 do to[at + i] = from[first + i] end
  end
  return to
end

-- Joined 1,000 at a time, in a table of our own, whose elements C finds without calling anything.
local function concat(t, separator, first, last)
  check(t, 1, "concat")
  if separator ~= nil and type(separator) ~= "string" and type(separator) ~= "number" then
    raise("bad argument #2 to 'concat' (string expected, got " .. type(separator) .. ")")
  end
  first = first == nil and 1 or integer(first, 3, "concat")
  last = last == nil and #t or integer(last, 4, "concat")
  local chunk, size, done = {}, 0, nil
  for i = first, last do
    local v = t[i]
    local kind = type(v)
    if kind ~= "string" and kind ~= "number" then
      raise("invalid value (" .. kind .. ") at index " .. i .. " in table for 'concat'")
    end
    size = size + 1
    chunk[size] = v
    if size == 1000 and i < last then
      done = done or {}
      done[#done + 1] = c_concat(chunk, separator)
      chunk, size = {}, 0
    end
  end
  if not done then return c_concat(chunk, separator) end
  done[#done + 1] = c_concat(chunk, separator)
  return concat(done, separator)
end
lib.concat = concat

function lib.unpack(t, first, last)
  first = first == nil and 1 or integer(first, 2, "unpack")
  last = last == nil and #t or integer(last, 3, "unpack")
  if first > last then return end
  local n = last - first
  if n < 0 or n >= 1000000 then raise("too many results to unpack") end
  if n == 0 then return t[first] end
  if n == 1 then return t[first], t[last] end
  if n == 2 then return t[first], t[first + 1], t[last] end
  local copy = {}
  for i = 0, n do copy[i + 1] = t[first + i] end
  return c_unpack(copy, 1, n + 1)
end

-- Merges two sorted runs of `from` into `to`; one that is equal and came first stays first.
local function merge(from, to, left, middle, right, less)
  local i, j = left, middle
  for k = left, right - 1 do
    if i < middle and (j >= right or not less(from[j], from[i])) then
      to[k] = from[i]
      i = i + 1
    else
      to[k] = from[j]
      j = j + 1
    end
  end
end

local function ascending(a, b) return a < b end

function lib.sort(t, less)
  check(t, 1, "sort")
  if less == nil then
    less = ascending
  elseif type(less) ~= "function" then
    raise("bad argument #2 to 'sort' (function expected, got " .. type(less) .. ")")
  end
  local n = #t
  if n < 2 then return end
  if n >= 2147483647 then raise("bad argument #1 to 'sort' (array too big)") end
  local from, to = {}, {}
  for i = 1, n do from[i] = t[i] end
  -- Runs of eight by insertion, then merged.
  for left = 1, n, 8 do
    for i = left + 1, left + 7 < n and left + 7 or n do
      local v, j = from[i], i - 1
      while j >= left and less(v, from[j]) do
        from[j + 1] = from[j]
        j = j - 1
      end
      from[j + 1] = v
    end
  end
  local width = 8
  while width < n do
    for left = 1, n, 2 * width do
      local middle, right = left + width, left + 2 * width
      merge(from, to, left, middle < n + 1 and middle or n + 1, right < n + 1 and right or n + 1, less)
    end
    from, to = to, from
    width = 2 * width
  end
  for i = 1, n do t[i] = from[i] end
end
