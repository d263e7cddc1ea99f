-- What is global in plugins besides libraries. `raw` is what Lua brings, never shown to plugins as a whole;
-- `host` is in Rust. No global may be looked up in here: plugins may change any of theirs.
local raw, host, globals, ours = ...
local c_pcall, c_xpcall, error, type, select, tostring = raw.pcall, raw.xpcall, raw.error, raw.type, raw.select, raw.tostring
local c_yield, c_isyieldable = raw.coroutine.yield, raw.coroutine.isyieldable
local c_collectgarbage, c_date, pack, concat = raw.collectgarbage, raw.os.date, raw.table.pack, raw.table.concat
local is_over, plain, over, place = host.is_over, host.plain, host.over, host.place

-- Raises an error at the line of the plugin that called us.
local function raise(message)
  error(place() .. message, 0)
end
ours.raise = raise

for _, name in raw.ipairs {
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "rawequal", "rawget", "rawlen", "rawset",
  "select", "tonumber", "tostring", "type", "_VERSION", "math", "utf8",
} do
  globals[name] = raw[name]
end

-- Passes on how something that catches errors went; a task that is over fails through all of it.
local function caught(ok, ...)
  if ok then return ok, ... end
  if is_over() then error(over, 0) end
  local e = ...
  if type(e) == "userdata" then e = plain(e) end
  return false, e
end
ours.caught = caught

function globals.pcall(f, ...)
  return caught(c_pcall(f, ...))
end

function globals.xpcall(f, handler, ...)
  if type(handler) ~= "function" then
    raise("bad argument #2 to 'xpcall' (function expected)")
  end
  local function handle(e)
    if is_over() then return e end
    if type(e) == "userdata" then e = plain(e) end
    return handler(e)
  end
  return caught(c_xpcall(f, handle, ...))
end

local set_metatable = host.set_metatable
function globals.setmetatable(t, metatable)
  local wrong = set_metatable(t, metatable)
  if wrong then raise(wrong) end
  return t
end

function globals.collectgarbage(what)
  if what == "count" then return c_collectgarbage("count") end
  raise('collectgarbage knows "count" only')
end

local log, text_max, arguments_max = host.log, host.text_max, host.arguments_max
function globals.print(...)
  local parts = pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  log(concat(parts, "\t"))
end

globals.os = {
  time = raw.os.time,
  clock = raw.os.clock,
  date = function(format, ...)
    if type(format) == "string" and #format > 256 then
      raise("bad argument #1 to 'date' (format too long)")
    end
    return c_date(format, ...)
  end,
}

local traceback = host.traceback
globals.debug = {
  traceback = function(message, level)
    local kind = type(message)
    if message ~= nil and kind ~= "string" and kind ~= "number" then return message end
    return traceback(message, (raw.math.tointeger(level or 1) or 1) + 1)
  end,
}

-- Waiting: the task yields the function's number and arguments, and is resumed with true and results, or
-- with false and an error.
local loading = true
function ours.set_loading(is) loading = is end

local function resumed(ok, ...)
  if ok then return ... end
  raise((...))
end

function ours.waiting(number, name)
  return function(...)
    if loading then
      raise(name .. ": not while plugins load: use setTimeoutLocal(0, fn)")
    elseif not c_isyieldable() then
      raise(name .. ": cannot wait in a function that Lua itself calls here, such as __tostring")
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
local gsub = raw.string.gsub
local loaded, loader = {}, {}

local function compiled(name)
  if type(name) ~= "string" or #name > 256 then raise("bad argument #1 to 'require' (module name expected)") end
  local base = gsub(name, "%.", "/")
  for _, path in raw.ipairs { base .. ".lua", base .. "/init.lua" } do
    local f, wrong = find_module(path)
    if f then return f, path end
    if wrong then raise("error loading module '" .. name .. "':\n\t" .. wrong) end
  end
  raise("module '" .. name .. "' not found: no file '" .. base .. ".lua' or '" .. base .. "/init.lua' in the plugin folder")
end

function globals.require(name)
  local value = loaded[name]
  if value ~= nil then return value end
  local f, path = compiled(name)
  local me = task()
  if loader[name] == me then
    raise("loop: module '" .. name .. "' requires itself, maybe through others")
  end
  loader[name] = me
  local ok, result = caught(c_pcall(f, name, path))
  loader[name] = nil
  if not ok then error(result, 0) end
  if loaded[name] == nil then
    if result == nil then result = true end
    loaded[name] = result
  end
  return loaded[name]
end
