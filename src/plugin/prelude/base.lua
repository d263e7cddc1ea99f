-- What is global in plugins besides libraries. `raw` is what Lua brings, `host` is in Rust; plugins see neither.
-- No global may be looked up in here, for plugins may change theirs. And no function in C may call a function of a
-- plugin: the end of a slice could not yield out of it, so a task could not be ended in it.
local raw, host, globals, ours = ...
local c_xpcall, error, type, select, c_tostring = raw.xpcall, raw.error, raw.type, raw.select, raw.tostring
local rawequal, blame = raw.rawequal, host.blame
local c_yield, c_running = raw.coroutine.yield, raw.coroutine.running
local c_collectgarbage, c_concat, c_tointeger = raw.collectgarbage, raw.table.concat, raw.math.tointeger
local is_over, over, place = host.is_over, host.over, host.place
local describe, set_metatable, log, traceback = host.describe, host.set_metatable, host.log, host.traceback
local arguments_max = host.arguments_max
local weak_keys = { __mode = "k" }

for _, name in raw.ipairs {
  "assert", "error", "getmetatable", "next", "pairs", "rawequal", "rawget", "rawlen", "rawset", "select", "tonumber",
  "type", "_VERSION", "math", "utf8",
} do
  globals[name] = raw[name]
end

-- Raises an error at the line of the plugin that called us.
local function raise(message)
  error(place() .. message, 0)
end
ours.raise = raise

-- Lets others run if the slice is over: after something long, in which no hook could see that.
local c_isyieldable, is_due = raw.coroutine.isyieldable, host.is_due
function ours.pause()
  if is_due() and c_isyieldable() then c_yield() end
end

-- Ends a coroutine that is closed; only what closes it catches that.
local CLOSED = raw.setmetatable({}, { __metatable = false, __name = "closed coroutine" })
ours.CLOSED = CLOSED

-- How something went that catches errors. Nothing catches the end of a task, or of a coroutine.
local function caught(ok, ...)
  if ok then return ok, ... end
  if is_over() then error(over, 0) end
  if rawequal(..., CLOSED) then error(CLOSED, 0) end
  return ok, ...
end
ours.caught = caught

-- `blame` makes text of errors of ours and those of functions in C that we called: they are the plugin's line's.
function globals.pcall(f, ...)
  return caught(c_xpcall(f, blame, ...))
end

-- Where the error was whose handler runs in a coroutine.
local handling = raw.setmetatable({}, weak_keys)

local function handled(handler, trace, ok, ...)
  if ok then return ok, ... end
  caught(ok, ...)
  local co = c_running()
  local before = handling[co]
  handling[co] = trace()
  local _, result = caught(c_xpcall(handler, blame, ...))
  handling[co] = before
  return false, result
end

-- The handler runs once the error is caught, and `debug.traceback` still shows where that was.
function globals.xpcall(f, handler, ...)
  if type(handler) ~= "function" then raise("bad argument #2 to 'xpcall' (function expected)") end
  local trace
  local function note(e)
    if is_over() then return e end
    trace = traceback(nil, 1)
    return blame(e)
  end
  return handled(handler, function() return trace end, c_xpcall(f, note, ...))
end

globals.debug = {
  traceback = function(message, level)
    local kind = type(message)
    if message ~= nil and kind ~= "string" and kind ~= "number" then return message end
    local trace = handling[c_running()]
    if not trace then return traceback(message, c_tointeger(level or 1) or 1) end
    if message then return message .. "\n" .. trace end
    return trace
  end,
}

local function tostring(v)
  if type(v) ~= "table" then return c_tostring(v) end
  local f, text = describe(v)
  if f == nil then return text end
  text = f(v)
  if type(text) == "string" then return text end
  if type(text) == "number" then return c_tostring(text) end
  raise("'__tostring' must return a string")
end
ours.tostring = tostring
globals.tostring = function(v) return tostring(v) end

local function following(t, i)
  i = i + 1
  local v = t[i]
  if v ~= nil then return i, v end
end

function globals.ipairs(t)
  if type(t) ~= "table" then raise("bad argument #1 to 'ipairs' (table expected, got " .. type(t) .. ")") end
  return following, t, 0
end

function globals.setmetatable(t, metatable)
  local wrong = set_metatable(t, metatable)
  if wrong then raise(wrong) end
  return t
end

function globals.collectgarbage(what)
  if what == "count" then return c_collectgarbage("count") end
  raise('collectgarbage knows "count" only')
end

function globals.print(...)
  local n = select("#", ...)
  if n > arguments_max then raise("print: too many arguments") end
  local parts = { ... }
  for i = 1, n do parts[i] = tostring(parts[i]) end
  log(c_concat(parts, "\t", 1, n))
end

-- Waiting: the task yields the function's number and arguments, and is resumed with true and results, or
-- with false and an error.
local loading = true
function ours.set_loading(is) loading = is end

local function resumed(ok, ...)
  if ok then return ... end
  raise((...))
end

ours.no_wait = "cannot wait here: a function that is not in Lua called this one"

function ours.waiting(number, name)
  return function(...)
    if loading then
      raise(name .. ": not while plugins load: use setTimeoutLocal(0, fn)")
    elseif select("#", ...) > arguments_max then
      raise(name .. ": too many arguments")
    end
    return resumed(c_yield(number, ...))
  end
end

function ours.raising(name, f)
  return function(...)
    if select("#", ...) > arguments_max then raise(name .. ": too many arguments") end
    return resumed(f(...))
  end
end

-- Modules. A task that ends while it loads one must not leave it closed to others.
local find_module, task = host.module, host.task
local c_gsub = raw.string.gsub
local loaded, loader = {}, {}

local function compiled(name)
  if type(name) ~= "string" or #name > 256 then raise("bad argument #1 to 'require' (module name expected)") end
  local base = c_gsub(name, "%.", "/")
  local path = base .. ".lua"
  local f, wrong = find_module(path)
  if not f and not wrong then
    path = base .. "/init.lua"
    f, wrong = find_module(path)
  end
  if f then return f, path end
  if wrong then raise("error loading module '" .. name .. "':\n\t" .. wrong) end
  raise("module '" .. name .. "' not found: no '" .. base .. ".lua' or '" .. base .. "/init.lua' in the plugin folder")
end

function globals.require(name)
  local value = loaded[name]
  if value ~= nil then return value end
  local f, path = compiled(name)
  local me = task()
  if loader[name] == me then raise("loop: module '" .. name .. "' requires itself, maybe through others") end
  loader[name] = me
  local ok, result = caught(c_xpcall(f, blame, name, path))
  loader[name] = nil
  if not ok then error(result, 0) end
  if loaded[name] == nil then
    if result == nil then result = true end
    loaded[name] = result
  end
  return loaded[name]
end

local time, date = raw.os.time, raw.os.date
local TIME_FIELDS = { "year", "month", "day", "hour", "min", "sec", "isdst", "wday", "yday" }
globals.os = {
  clock = raw.os.clock,
  time = function(t)
    if t == nil then return time() end
    if type(t) ~= "table" then raise("bad argument #1 to 'time' (table expected, got " .. type(t) .. ")") end
    local fields = {}
    for i = 1, 7 do fields[TIME_FIELDS[i]] = t[TIME_FIELDS[i]] end
    local seconds = time(fields)
    -- As in C, they are normalised.
    for i = 1, 9 do t[TIME_FIELDS[i]] = fields[TIME_FIELDS[i]] end
    return seconds
  end,
  date = function(format, ...)
    if type(format) == "string" and #format > 256 then raise("bad argument #1 to 'date' (format too long)") end
    return date(format, ...)
  end,
}
