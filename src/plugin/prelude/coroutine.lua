-- Coroutines of plugins. What yields out of one is its own yield, a wait, or the end of a slice; the latter two
-- pass through whoever resumed it, up to the scheduler. Own yields carry a mark before their values, waits a
-- number, the end of a slice nothing at all.
local raw, host, globals, ours = ...
local error, type, rawequal, c_xpcall = raw.error, raw.type, raw.rawequal, raw.xpcall
local c = raw.coroutine
local c_create, c_resume, c_yield, c_status, c_close = c.create, c.resume, c.yield, c.status, c.close
local c_running, c_isyieldable = c.running, c.isyieldable
local is_over, over, blame = host.is_over, host.over, host.blame
local raise, caught, CLOSED = ours.raise, ours.caught, ours.CLOSED
-- Gives what is last in a table and takes it out.
local take = raw.table.remove
local NONE = {}

local OWN = "own"
local IDLE = true
-- All coroutines that plugins made, and no task, each with a cell: in it is the function of one that has not begun, or
-- IDLE. Whoever goes on with a coroutine takes that out, in one call in C, for others may run before any instruction.
-- One that waits has an empty cell: Lua calls it suspended, but only the scheduler may go on with it.
local cells = raw.setmetatable({}, { __mode = "k" })

local function check(co, name)
  if type(co) ~= "thread" then raise("bad argument #1 to '" .. name .. "' (coroutine expected)") end
end

local function own(_, ...)
  return true, ...
end

local go_on

-- What resuming gave. The body is a call of xpcall, so an error closes what is to be closed before it ends.
local function resumed(co, ok, ...)
  if not ok then
    cells[co][1] = IDLE
    return caught(ok, ...)
  end
  if c_status(co) == "dead" then
    cells[co][1] = IDLE
    return ...
  end
  local mark = ...
  if mark == OWN then
    cells[co][1] = IDLE
    return own(...)
  end
  if not c_isyieldable() then
    if is_over() then error(over, 0) end
    if mark == nil then return resumed(co, c_resume(co)) end
    return resumed(co, c_resume(co, false, ours.no_wait))
  end
  return go_on(co, c_yield(...))
end

function go_on(co, ...)
  return resumed(co, c_resume(co, ...))
end

local function resume(co, ...)
  local state = take(cells[co] or NONE)
  if state == IDLE then return resumed(co, c_resume(co, OWN, ...)) end
  if state then return resumed(co, c_resume(co, state, blame, ...)) end
  return false, "cannot resume non-suspended coroutine"
end

local function create(f, name)
  if type(f) ~= "function" then raise("bad argument #1 to '" .. name .. "' (function expected)") end
  local co = c_create(c_xpcall)
  cells[co] = { f }
  return co
end

local function status(co)
  local seen = c_status(co)
  -- A task that waits, or one that waits through another.
  if seen == "suspended" and not (cells[co] and cells[co][1]) then return "normal" end
  return seen
end

local function wrapped(ok, ...)
  if ok then return ... end
  error((...), 0)
end

-- What the coroutine goes on with after an own yield.
local function yielded(mark, ...)
  if rawequal(mark, CLOSED) then error(CLOSED, 0) end
  return ...
end

-- Lets it fail, so that what is to be closed is closed by itself, and may wait.
local function close(co)
  local state = take(cells[co] or NONE)
  if not state then raise("cannot close a " .. status(co) .. " coroutine") end
  if state ~= IDLE or c_status(co) == "dead" then
    cells[co][1] = IDLE
    return c_close(co)
  end
  local ok, e
  repeat
    ok, e = resumed(co, c_resume(co, CLOSED))
  until c_status(co) == "dead" or not take(cells[co])
  if c_status(co) ~= "dead" then raise("cannot close a " .. status(co) .. " coroutine") end
  if ok or rawequal(e, CLOSED) then return true end
  return false, e
end

globals.coroutine = {
  create = function(f) return create(f, "create") end,
  resume = function(co, ...)
    check(co, "resume")
    return resume(co, ...)
  end,
  wrap = function(f)
    local co = create(f, "wrap")
    return function(...) return wrapped(resume(co, ...)) end
  end,
  yield = function(...)
    if not cells[c_running()] then raise("attempt to yield from outside a coroutine") end
    return yielded(c_yield(OWN, ...))
  end,
  status = function(co)
    check(co, "status")
    return status(co)
  end,
  running = function()
    local co = c_running()
    if cells[co] then return co, false end
    host.escaped()
    return co, true
  end,
  isyieldable = function()
    return cells[c_running()] ~= nil and c_isyieldable()
  end,
  close = function(co)
    check(co, "close")
    return close(co)
  end,
}
