-- Strings. Functions in C that could run for long are bounded here, or in Rust and called again and again.
local raw, host, globals, ours = ...
local raise = ours.raise
local error, type, tostring, c_tointeger = raw.error, raw.type, raw.tostring, raw.math.tointeger
local c = raw.string
local c_rep, c_format, c_sub, c_pack = c.rep, c.format, c.sub, c.pack
local c_concat = raw.table.concat
local scan, search, replace, is_plain, pack_bytes = host.scan, host.search, host.replace, host.is_plain, host.pack_bytes
local text_max = host.text_max

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
  return c_tointeger(v) or wrong(n, name, "integer", v)
end

-- The offset of a position that may be counted from the end.
local function offset(init, length)
  if init > 0 then return init - 1 end
  if init == 0 or init < -length then return 0 end
  return length + init
end

-- An answer of `scan`: goes on while it found nothing yet. What is left is a match, or nil.
local function scanned(s, p, last, anchors, whole, first, ...)
  if first == false then
    return scanned(s, p, last, anchors, whole, scan(s, p, (...), last, anchors, whole))
  elseif first == true then
    raise((...))
  end
  return first, ...
end

local function captures(_, _, ...)
  return ...
end

local function matched(first, ...)
  if first then return captures(first, ...) end
  return nil
end

function lib.find(s, p, init, plain)
  s, p = text(s, 1, "find"), text(p, 2, "find")
  local from = init and offset(integer(init, 3, "find"), #s) or 0
  if from > #s then return nil end
  if plain or is_plain(p) then
    local at = search(s, p, from)
    if at then return at, at + #p - 1 end
    return nil
  end
  return scanned(s, p, -1, true, false, scan(s, p, from, -1, true, false))
end

function lib.match(s, p, init)
  s, p = text(s, 1, "match"), text(p, 2, "match")
  local from = init and offset(integer(init, 3, "match"), #s) or 0
  if from > #s then return nil end
  return matched(scanned(s, p, -1, true, true, scan(s, p, from, -1, true, true)))
end

function lib.gmatch(s, p, init)
  s, p = text(s, 1, "gmatch"), text(p, 2, "gmatch")
  local from, last = init and offset(integer(init, 3, "gmatch"), #s) or 0, -1
  local function found(first, to, ...)
    if not first then
      from = #s + 1
      return nil
    end
    from, last = to, to
    return ...
  end
  return function()
    return found(scanned(s, p, last, false, true, scan(s, p, from, last, false, true)))
  end
end

-- The value for a match: what a function returns, or what a table holds, for its captures.
local function value(repl, kind, first, to, ...)
  if not first then return nil end
  if kind == "table" then return first, to, repl[(...)] end
  return first, to, (repl(...))
end

-- Pieces of text, joined when there are many.
local function add(pieces, piece)
  local n = #pieces + 1
  pieces[n] = piece
  if n == 1000 then
    local joined = c_concat(pieces)
    for i = n, 2, -1 do pieces[i] = nil end
    pieces[1] = joined
  end
end

local function replace_by(s, p, repl, kind, max)
  local pieces, done, from, last, count = {}, {}, 0, -1, 0
  local anchored = c_sub(p, 1, 1) == "^"
  while count < max do
    local first, to, new = value(repl, kind, scanned(s, p, last, true, true, scan(s, p, from, last, true, true)))
    if not first then break end
    count = count + 1
    if not new then
      new = c_sub(s, first, to)
    elseif type(new) ~= "string" and type(new) ~= "number" then
      raise("invalid replacement value (a " .. type(new) .. ")")
    end
    local n = #pieces
    pieces[n + 1], pieces[n + 2] = c_sub(s, from + 1, first - 1), new
    if n > 1000 then
      done[#done + 1] = c_concat(pieces)
      pieces = {}
    end
    from, last = to, to
    if anchored then break end
  end
  if count == 0 then return s, 0 end
  pieces[#pieces + 1] = c_sub(s, from + 1)
  done[#done + 1] = c_concat(pieces)
  return c_concat(done), count
end

local function replace_by_text(s, p, repl, max)
  local done, from, last, count = {}, 0, -1, 0
  repeat
    local result, n
    result, n, from, last = replace(s, p, repl, from, last, max - count)
    if result == true then raise(n) end
    count = count + n
    if not from and #done == 0 then return result, count end
    done[#done + 1] = result
  until not from
  return c_concat(done), count
end

function lib.gsub(s, p, repl, max)
  s, p = text(s, 1, "gsub"), text(p, 2, "gsub")
  max = max and integer(max, 4, "gsub") or #s + 1
  local kind = type(repl)
  if kind == "string" or kind == "number" then
    return replace_by_text(s, p, tostring(repl), max)
  elseif kind ~= "table" and kind ~= "function" then
    wrong(3, "gsub", "string/function/table", repl)
  end
  return replace_by(s, p, repl, kind, max)
end

function lib.rep(s, n, separator)
  s, n = text(s, 1, "rep"), integer(n, 2, "rep")
  separator = separator and text(separator, 3, "rep") or ""
  local size = #s + #separator
  if n <= 0 or size == 0 then return "" end
  if size * 1.0 * n > text_max then raise("resulting string too large") end
  if n > 1024 and size < 64 then
    -- C copies piece by piece: larger pieces.
    local piece, rest = c_rep(s .. separator, 256), (n - 1) % 256
    return c_rep(piece, (n - 1) // 256) .. c_rep(s .. separator, rest) .. s
  end
  return c_rep(s, n, separator)
end

-- C looks at each byte.
for _, name in raw.ipairs { "lower", "upper", "reverse" } do
  local f = c[name]
  lib[name] = function(s)
    s = text(s, 1, name)
    if #s > text_max then raise("string too large") end
    return f(s)
  end
end

function lib.format(format, ...)
  if type(format) == "string" and #format > 65536 then
    raise("bad argument #1 to 'format' (format too long)")
  end
  return c_format(format, ...)
end

function lib.pack(format, ...)
  if pack_bytes(text(format, 1, "pack")) > 65536 then
    raise("bad argument #1 to 'pack' (format too large)")
  end
  return c_pack(format, ...)
end
