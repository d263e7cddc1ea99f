-- Strings. Functions in C that could run for long are bounded here, or in Rust and called again and again.
local raw, host, globals, ours = ...
local raise, pause, tostring = ours.raise, ours.pause, ours.tostring
local type, select, c_tonumber, c_tointeger = raw.type, raw.select, raw.tonumber, raw.math.tointeger
local c = raw.string
-- An error shows the names of these.
local c_rep, c_sub, format, pack = c.rep, c.sub, c.format, c.pack
local c_concat, c_unpack = raw.table.concat, raw.table.unpack
local scan, scan_many, search, replace, pack_bytes = host.scan, host.scan_many, host.search, host.replace, host.pack_bytes
local text_max, quick_max, arguments_max = host.text_max, host.quick_max, host.arguments_max
local metafield = host.metafield

local lib = { byte = c.byte, char = c.char, len = c.len, packsize = c.packsize, sub = c.sub, unpack = c.unpack }
globals.string = lib

local function wrong(n, name, expected, got)
  local kind = got == nil and "no value" or type(got)
  raise("bad argument #" .. n .. " to '" .. name .. "' (" .. expected .. " expected, got " .. kind .. ")")
end

local function text(v, n, name)
  local kind = type(v)
  if kind == "string" then return v end
  if kind == "number" then return tostring(v) end
  wrong(n, name, "string", v)
end

local function integer(v, n, name)
  local i = c_tointeger(v)
  if i then return i end
  if c_tonumber(v) then raise("bad argument #" .. n .. " to '" .. name .. "' (number has no integer representation)") end
  wrong(n, name, "number", v)
end

-- The offset of a position that may be counted from the end.
local function offset(init, length)
  if init > 0 then return init - 1 end
  if init == 0 or init < -length then return 0 end
  return length + init
end

local FIND, MATCH, GMATCH = 0, 1, 2

-- An answer of `scan`: goes on while it found nothing yet. What is left is a match, or nil.
local function scanned(s, p, last, how, first, ...)
  if first == false then
    pause()
    return scanned(s, p, last, how, scan(s, p, (...), last, how))
  elseif first == true then
    raise((...))
  end
  return first, ...
end

local function captures(first, _, ...)
  if first then return ... end
  return nil
end

function lib.find(s, p, init, plain)
  if type(s) ~= "string" then s = text(s, 1, "find") end
  if type(p) ~= "string" then p = text(p, 2, "find") end
  local from = init and offset(integer(init, 3, "find"), #s) or 0
  if from > #s then return nil end
  if plain then return scanned(s, p, -1, FIND, search(s, p, from)) end
  return scanned(s, p, -1, FIND, scan(s, p, from, -1, FIND))
end

function lib.match(s, p, init)
  if type(s) ~= "string" then s = text(s, 1, "match") end
  if type(p) ~= "string" then p = text(p, 2, "match") end
  local from = init and offset(integer(init, 3, "match"), #s) or 0
  if from > #s then return nil end
  return captures(scanned(s, p, -1, MATCH, scan(s, p, from, -1, MATCH)))
end

function lib.gmatch(s, p, init)
  s, p = text(s, 1, "gmatch"), text(p, 2, "gmatch")
  local from, last = init and offset(integer(init, 3, "gmatch"), #s) or 0, -1
  local function found(first, to, ...)
    if not first then
      from = #s + 1
      return
    end
    from, last = to, to
    return ...
  end
  return function()
    return found(scanned(s, p, last, GMATCH, scan(s, p, from, last, GMATCH)))
  end
end

local function replace_by(s, p, repl, kind, max)
  local pieces, size, done, count = {}, 0, {}, 0
  local from, last = 0, -1
  local next_from = from
  while next_from and count < max do
    -- Where to go on, values for each match, and these: first and last position, captures.
    local found = { scan_many(s, p, next_from, last, max - count, kind == "table") }
    if found[1] == true then raise(found[2]) end
    next_from = found[1]
    if next_from then pause() end
    local each = found[2]
    for i = 3, #found, each do
      local first, to, new = found[i], found[i + 1], nil
      if kind == "table" then
        new = repl[found[i + 2]]
      elseif each == 3 then
        new = repl(found[i + 2])
      else
        new = repl(c_unpack(found, i + 2, i + each - 1))
      end
      if not new then
        new = c_sub(s, first, to)
      elseif type(new) ~= "string" and type(new) ~= "number" then
        raise("invalid replacement value (a " .. type(new) .. ")")
      end
      pieces[size + 1], pieces[size + 2] = c_sub(s, from + 1, first - 1), new
      size = size + 2
      if size > 1000 then
        done[#done + 1] = c_concat(pieces)
        pieces, size = {}, 0
      end
      from, last, count = to, to, count + 1
    end
  end
  if count == 0 then return s, 0 end
  pieces[size + 1] = c_sub(s, from + 1)
  done[#done + 1] = c_concat(pieces)
  return c_concat(done), count
end

local function replace_by_text(s, p, repl, max)
  local result, n, from, last = replace(s, p, repl, 0, -1, max)
  if result == true then raise(n) end
  if not from then return result, n end
  local done, count = { result }, n
  while from do
    pause()
    result, n, from, last = replace(s, p, repl, from, last, max - count)
    if result == true then raise(n) end
    done[#done + 1] = result
    count = count + n
  end
  return c_concat(done), count
end

function lib.gsub(s, p, repl, max)
  if type(s) ~= "string" then s = text(s, 1, "gsub") end
  if type(p) ~= "string" then p = text(p, 2, "gsub") end
  max = max and integer(max, 4, "gsub") or #s + 1
  local kind = type(repl)
  if kind == "number" then
    repl, kind = tostring(repl), "string"
  end
  if kind == "string" then return replace_by_text(s, p, repl, max) end
  if kind ~= "table" and kind ~= "function" then wrong(3, "gsub", "string/function/table", repl) end
  return replace_by(s, p, repl, kind, max)
end

function lib.rep(s, n, separator)
  s, n = text(s, 1, "rep"), integer(n, 2, "rep")
  separator = separator and text(separator, 3, "rep") or ""
  local size = #s + #separator
  if n <= 0 or size == 0 then return "" end
  if size * 1.0 * n > text_max then raise("resulting string too large") end
  if size * n <= quick_max then return c_rep(s, n, separator) end
  -- C copies piece by piece: larger pieces.
  local times = size < 64 and 256 or 1
  local piece, rest = c_rep(s .. separator, times), (n - 1) % times
  local result = c_rep(piece, (n - 1) // times) .. c_rep(s .. separator, rest) .. s
  pause()
  return result
end

-- C looks at each byte.
for _, name in raw.ipairs { "lower", "upper", "reverse" } do
  local f = c[name]
  lib[name] = function(s)
    s = text(s, 1, name)
    if #s > text_max then raise("string too large") end
    local result = f(s)
    if #s > quick_max then pause() end
    return result
  end
end

-- C would call `__tostring` of tables.
function lib.format(pattern, ...)
  if type(pattern) == "string" and #pattern > 65536 then
    raise("bad argument #1 to 'format' (format too long)")
  end
  local n = select("#", ...)
  if n > arguments_max then raise("format: too many arguments") end
  for i = 1, n do
    if type((select(i, ...))) == "table" then
      local values = { ... }
      for k = i, n do
        if type(values[k]) == "table" then values[k] = tostring(values[k]) end
      end
      return format(pattern, c_unpack(values, 1, n))
    end
  end
  return format(pattern, ...)
end

function lib.pack(layout, ...)
  if pack_bytes(text(layout, 1, "pack")) > 65536 then
    raise("bad argument #1 to 'pack' (format too large)")
  end
  return pack(layout, ...)
end

-- Arithmetic on text that is a number, or with a table that knows how to.
local function number(v)
  local kind = type(v)
  if kind == "number" then return v end
  if kind == "string" then return c_tonumber(v) end
end

local function arithmetic(name, operation)
  return function(a, b)
    local x, y = number(a), number(b)
    if x and y then return operation(x, y) end
    local f = type(b) == "table" and metafield(b, name)
    if f then return f(a, b) end
    raise("attempt to " .. c_sub(name, 3) .. " a '" .. type(a) .. "' with a '" .. type(b) .. "'")
  end
end

ours.arithmetic = {
  __add = arithmetic("__add", function(a, b) return a + b end),
  __sub = arithmetic("__sub", function(a, b) return a - b end),
  __mul = arithmetic("__mul", function(a, b) return a * b end),
  __div = arithmetic("__div", function(a, b) return a / b end),
  __mod = arithmetic("__mod", function(a, b) return a % b end),
  __pow = arithmetic("__pow", function(a, b) return a ^ b end),
  __idiv = arithmetic("__idiv", function(a, b) return a // b end),
  __unm = arithmetic("__unm", function(a) return -a end),
}
