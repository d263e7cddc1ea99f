-- Functions that wait, and what plugins are told of. Each hands plain values to an operation (lib/ops.rs).
local host, ours, op = ...
local raise, check, fail, text = host.raise, ours.check, ours.fail, ours.text
local type, tostring, pairs, select, setmetatable, rawset = type, tostring, pairs, select, setmetatable, rawset
local pack, unpack = table.pack, table.unpack
local match = string.match
local G = {}

local function number(value, position, name)
  if type(value) ~= "number" or value ~= value or value < 0 then
    raise("bad argument #" .. position .. " to '" .. name .. "' (milliseconds expected)")
  end
  return value
end

-- sleep(ms): lets others run meanwhile. Example: sleep(100)
function G.sleep(ms)
  op.sleep(number(ms, 1, "sleep"))
end

-- safeGo(f, …): runs f(…) in a coroutine of its own; its errors are logged and hurt no one.
-- Example: safeGo(function() httpCall("http://host/slow") end)
function G.safeGo(f, ...)
  check(f, 1, "safeGo", "function")
  if select("#", ...) > 0 then
    local args, given = pack(...), f
    f = function() return given(unpack(args, 1, args.n)) end
  end
  op.timer(0, f, false)
end

-- setTimeoutLocal(ms, f) and setIntervalLocal(ms, f): run f once or again and again, in this process only; the id is for
-- clearTimeoutLocal(id) and clearIntervalLocal(id), which say whether it was still there. A reload ends them.
-- Example: local id = setIntervalLocal(60000, function() logit("alive") end)
function G.setTimeoutLocal(ms, f)
  check(f, 2, "setTimeoutLocal", "function")
  return op.timer(number(ms, 1, "setTimeoutLocal"), f, false)
end

function G.setIntervalLocal(ms, f)
  check(f, 2, "setIntervalLocal", "function")
  return op.timer(number(ms, 1, "setIntervalLocal"), f, true)
end

function G.clearTimeoutLocal(id)
  check(id, 1, "clearTimeoutLocal", "number")
  return op.clearTimer(id)
end
G.clearIntervalLocal = G.clearTimeoutLocal

local function request(url, data, options)
  if type(url) ~= "string" then raise("httpCall: expected a URL") end
  options = options or {}
  return {
    url = url, data = data, headers = options.headers, useJson = options.useJson, method = options.method,
    timeout = options.timeout,
  }
end

-- httpCall(url, data?, options?): calls a URL and returns body and status. GET, or with data POST: text as it is, a table as a
-- form, or as JSON with useJson. Options: headers (a list of "Name: value", or an object), useJson, method, timeout (s; by
-- default httpCallTimeout). Where there is no answer: nil, why.
-- httpCall({url, {url=, data=, …}, …}, nil, options?): several at once; a list of {status=, body=} or {error=}.
-- Errors: what is no URL, or no option. Example: local body, status = httpCall("http://host/api", { id = 1 }, { timeout = 2 })
function G.httpCall(url, data, options)
  if options ~= nil then check(options, 3, "httpCall", "table") end
  if type(url) ~= "table" then
    local answer = op.http({ request(url, data, options) })[1]
    if answer.error then return nil, answer.error end
    return answer.body, answer.status
  end
  local list = {}
  if #url > host.httpCallsMax then raise("httpCall: expected at most " .. host.httpCallsMax .. " URLs") end
  for i = 1, #url do
    local one = url[i]
    if type(one) == "table" then
      list[i] = request(one.url, one.data, setmetatable({
        headers = one.headers, useJson = one.useJson, method = one.method, timeout = one.timeout,
      }, { __index = options }))
    else
      list[i] = request(one, data, options)
    end
  end
  if #list == 0 then return list end
  return op.http(list)
end

local function called(ok, value, message, detail)
  if ok then return value end
  fail(value, detail, message)
end
ours.called = called

-- pushMsg(app, user, msg): pushes to users of an app, as the call push does; how many took it.
-- Example: pushMsg("app1", "user*", { id = 100 })
function G.pushMsg(app, user, msg)
  return called(op.call("push", {}, { app = app, user = user, msg = msg }))
end

-- getUsers(app): the users that are connected to it, one for each connection. Example: #getUsers("app1")
function G.getUsers(app)
  return called(op.call("getUsers", {}, { app = app }))
end

-- setConf(name, value) or setConf{name = value, …}: sets what the call conf sets, and names of one's own, with or without
-- `conf_`; lasts until a restart. Errors: a value that a setting cannot take. Example: setConf("my_limit", 5)
local set_conf = host.setConf
function G.setConf(name, value)
  local list = name
  if type(name) ~= "table" then list = { [name] = value } end
  local set = {}
  for k, v in pairs(list) do
    if type(k) ~= "string" or type(v) == "table" then raise("setConf: expected a name and a value") end
    local full, given = set_conf(k, tostring(v))
    set[full] = given
  end
  -- Others are told once this coroutine stops: it need not wait, and at a load it could not.
  op.timer(0, function() op.call("conf", set, {}) end, false)
end

-- What handlers get: frame.fd, frame.app, frame.user, frame.data (the text), and frame.req, the text decoded at its first
-- use (nil where it is no JSON).
local decode = host.jsonDecode
local Frame = {
  __index = function(frame, name)
    if name ~= "req" then return nil end
    local req = decode(frame.data)
    rawset(frame, "req", req)
    return req
  end,
}

-- ws:push(fd, text): one text message to one connection; whether it took it. A table goes as JSON.
-- ws:disconnect(fd, code?, reason?): closes it (1000 where no code is given).
-- Example: on("message.app1", function(ws, frame) ws:push(frame.fd, "echo: " .. frame.data) end)
local ws = {}
function ws.push(_, fd, message)
  check(fd, 1, "push", "number")
  if message == nil then raise("bad argument #2 to 'push' (string expected, got nil)") end
  return called(op.wsPush(fd, text(message))) == 1
end
function ws.disconnect(_, fd, code, reason)
  check(fd, 1, "disconnect", "number")
  if code ~= nil then check(code, 2, "disconnect", "number") end
  reason = reason ~= nil and text(reason) or ""
  if #reason > 123 then raise("disconnect: expected a reason of at most 123 bytes") end
  op.wsDisconnect(fd, code or 1000, reason)
end

-- on(event, f): f handles an event: "push.APP" (user, msg), "message.APP", "open.APP" or "close.APP" (ws, frame). While plugins
-- load only; several handlers of one event run one after the other. Example: on("push.app1", function(user, msg) logit(msg) end)
local events = { push = {}, message = {}, open = {}, close = {} }
local state = { isLoaded = false }
function G.on(name, f)
  if state.isLoaded then raise("on: only while plugins load") end
  check(name, 1, "on", "string")
  check(f, 2, "on", "function")
  local kind, app = match(name, "^(%a+)%.(.+)$")
  local apps = events[kind]
  if not apps then
    raise('on("' .. name .. '"): expected "push.APP", "message.APP", "open.APP" or "close.APP"')
  end
  local list = apps[app]
  if not list then
    list = {}
    apps[app] = list
  end
  list[#list + 1] = f
end

return G, events, state, ws, Frame
