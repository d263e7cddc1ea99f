-- Coroutines of plugins. What yields out of one is its own yield, a wait, or the end of a slice; the latter two
-- pass through whoever resumed it, up to the scheduler. Own yields carry a mark before their values, waits a
-- number, the end of a slice nothing at all.
local raw, host, globals, ours = ...
local raise = ours.raise
local error, type, select, c_setmetatable = raw.error, raw.type, raw.select, raw.setmetatable
local c = raw.coroutine
local c_create, c_resume, c_yield, c_status, c_close = c.create, c.resume, c.yield, c.status, c.close
local c_running, c_isyieldable = c.running, c.isyieldable
local is_over, over, caught = host.is_over, host.over, ours.caught

local OWN = "own"
local IDLE, BUSY = 1, 2
-- All coroutines that plugins made, and no task. A busy one waits, though Lua calls it suspended: only
-- the scheduler may go on with it.
local states = c_setmetatable({}, { __mode = "k" })

local function check(co, name)
  if type(co) ~= "thread" then
    raise("bad argument #1 to '" .. name .. "' (coroutine expected)")
  end
end

local function own(_, ...)
  return true, ...
end

local go_on

-- What resuming gave.
local function resumed(co, ok, ...)
  if not ok then return caught(ok, ...) end
  if c_status(co) == "dead" then return ok, ... end
  local mark = ...
  if mark == OWN then return own(...) end
  if not c_isyieldable() then
    if is_over() then error(over, 0) end
    if mark == nil then return resumed(co, c_resume(co)) end
    error("cannot wait in a function that Lua itself calls here, such as __tostring", 0)
  end
  states[co] = BUSY
  return go_on(co, c_yield(...))
end

function go_on(co, ...)
  states[co] = IDLE
  return resumed(co, c_resume(co, ...))
end

local function resume(co, ...)
  if states[co] == IDLE then return resumed(co, c_resume(co, ...)) end
  return false, "cannot resume non-suspended coroutine"
end

local function create(f)
  if type(f) ~= "function" then raise("bad argument #1 to 'create' (function expected)") end
  local co = c_create(f)
  states[co] = IDLE
  return co
end

local function status(co)
  local seen = c_status(co)
  -- A task that waits, or one that waits through another.
  if seen == "suspended" and states[co] ~= IDLE then return "normal" end
  return seen
end

local function wrapped(co, ok, ...)
  if ok then return ... end
  if c_status(co) == "dead" then
    local closed, e = caught(c_close(co))
    if not closed then error(e, 0) end
  end
  error((...), 0)
end

globals.coroutine = {
  create = function(f) return create(f) end,
  resume = function(co, ...)
    check(co, "resume")
    return resume(co, ...)
  end,
  wrap = function(f)
    local co = create(f)
    return function(...) return wrapped(co, resume(co, ...)) end
  end,
  yield = function(...)
    if not states[c_running()] then raise("attempt to yield from outside a coroutine") end
    return c_yield(OWN, ...)
  end,
  status = function(co)
    check(co, "status")
    return status(co)
  end,
  running = function()
    local co = c_running()
    return co, states[co] == nil
  end,
  isyieldable = function()
    return states[c_running()] ~= nil and c_isyieldable()
  end,
  close = function(co)
    check(co, "close")
    local seen = status(co)
    if seen == "suspended" or seen == "dead" and states[co] then return caught(c_close(co)) end
    raise("cannot close a " .. seen .. " coroutine")
  end,
}
