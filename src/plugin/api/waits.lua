-- Functions of plugins that wait, and those of the daemon's log and settings. An operation (`op`) hands its call to the
-- scheduler; the calling coroutine goes on when that is done, and nobody else waits for it.
local op, rust = ...

local JdRet = { __name = "jdRet", __metatable = "jdRet" }
JdRet.__tostring = function(ret)
  return ret.detail and tostring(ret.detail) or "jdRet(" .. tostring(ret.code) .. ")"
end

local function check(value, kind, name, at)
  if type(value) ~= kind then
    error(("%s: expected a %s as argument %d, not a %s"):format(name, kind, at, type(value)), 3)
  end
end

local G = {}

-- jdRet(code, detail?, message?): ends the call with `[code, message, detail]`; without a message with the code's own. With code
-- 0 it answers `detail` as data. Raised as an error, so pcall sees it.
--   jdRet(E_PARAM, "bad qty", "数量不正确")
function G.jdRet(code, detail, message)
  error(setmetatable({ code = code or 0, detail = detail, message = message }, JdRet), 2)
end

local function raise(code, message, detail)
  error(setmetatable({ code = code, detail = detail, message = message }, JdRet), 3)
end

-- sleep(ms): waits, for nobody but the caller.
function G.sleep(ms)
  check(ms, "number", "sleep", 1)
  op.sleep(ms)
end

-- safeGo(fn): runs fn in a coroutine of its own; its failure is logged.
function G.safeGo(fn)
  check(fn, "function", "safeGo", 1)
  op.timer(0, fn, false)
end

-- setTimeoutLocal(ms, fn) -> id: runs fn once, later. In memory only: what has to survive a restart is a timer of the daemon
-- (callSvcInt("setTimeout", {}, {...})).
function G.setTimeoutLocal(ms, fn)
  check(ms, "number", "setTimeoutLocal", 1)
  check(fn, "function", "setTimeoutLocal", 2)
  return op.timer(ms, fn, false)
end

-- setIntervalLocal(ms, fn) -> id: every ms, without drift.
function G.setIntervalLocal(ms, fn)
  check(ms, "number", "setIntervalLocal", 1)
  check(fn, "function", "setIntervalLocal", 2)
  return op.timer(ms, fn, true)
end

-- clearTimeoutLocal(id) -> whether it was there; for intervals too.
function G.clearTimeoutLocal(id)
  check(id, "number", "clearTimeoutLocal", 1)
  return op.clearTimer(id)
end
G.clearIntervalLocal = G.clearTimeoutLocal

-- callSvcInt(ac, get?, post?) -> data: any call, the daemon's or a plugin's. Error: as jdRet raises it.
--   callSvcInt("setTimeout", {}, { url = "http://localhost/a.php", wait = 3000 })
local function call(ac, get, post)
  local ok, data, message, detail = op.call(ac, get or {}, post or {})
  if not ok then
    raise(data, message, detail)
  end
  return data
end

-- pushMsg(app, user, msg) -> how many connections took it. user: text as in push, or a list; msg: text, or a table for JSON.
function G.pushMsg(app, user, msg)
  return call("push", nil, { app = app, user = user, msg = msg })
end

-- getUsers(app) -> a list of the users that are online.
function G.getUsers(app)
  return call("getUsers", nil, { app = app })
end

-- httpCall(url, data?, opt?) -> body, status; nil, why where there is no answer. GET without data, POST with it: text as it is, a table
-- as a form or, with opt.useJson, as JSON. opt: headers (list of "Name: value"), useJson, timeout (s), method. With a list of URLs (or of
-- tables {url=, data=, …}) all at once -> a list of {body=, status=} or {error=}.
--   local body, status = httpCall("http://localhost/a.php", { id = 1 })
function G.httpCall(url, data, opt)
  local function request(url, data, opt)
    opt = opt or {}
    local timeout = opt.timeout
    return {
      url = url,
      data = data,
      headers = opt.headers,
      useJson = opt.useJson,
      timeout = timeout,
      method = opt.method,
    }
  end
  if type(url) ~= "table" then
    local answer = op.http({ request(url, data, opt) })[1]
    if answer.error then
      return nil, answer.error
    end
    return answer.body, answer.status
  end
  local requests = {}
  for at, one in ipairs(url) do
    if type(one) == "table" then
      requests[at] = request(one.url, one.data, one)
    else
      requests[at] = request(one, data, opt)
    end
  end
  if #requests == 0 then
    return {}
  end
  return op.http(requests)
end

-- getConf(name, default?) -> the value as text: a setting, or a plugin's own name that `conf` set. With or without `conf_`.
function G.getConf(name, default)
  check(name, "string", "getConf", 1)
  local value = op.getConf(name)
  if value == nil then
    return default
  end
  return value
end

-- setConf(name, value): as the call `conf` does; of the daemon's settings those that may change at run time.
function G.setConf(name, value)
  check(name, "string", "setConf", 1)
  if name:sub(1, 5) ~= "conf_" then
    name = "conf_" .. name
  end
  call("conf", { [name] = tostring(value) })
end

-- logit(text, file?): a line in trace.log; file: "trace", "slow", "debug", "server".
function G.logit(text, file)
  op.log(file or "trace", tostring(text))
end

-- writeLog(text): a line in the daemon's own log.
function G.writeLog(text)
  op.log("server", tostring(text))
end

-- addLog(text): a line in debug.log.
function G.addLog(text)
  op.log("debug", type(text) == "table" and rust.encode(text) or tostring(text))
end

local codes = { E_OK = 0, E_PARAM = 1, E_NOAUTH = 2, E_DB = 3, E_SERVER = 4, E_FORBIDDEN = 5, E_AUTHFAIL = -1, E_ABORT = -100 }
for name, code in pairs(codes) do
  G[name] = code
end

return G, { JdRet = JdRet, raise = raise, call = call, check = check }
