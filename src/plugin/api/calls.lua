-- Calls, objects, events and shapes: what plugins define, and what their functions are given.
local op, rust, shared, globals = ...
local raise, check, null = shared.raise, shared.check, rust.null

local G, internal = {}, {}

-- Events --------------------------------------------------------------------------------------------------------------

local handlers = { push = {}, message = {}, open = {}, close = {} }
local is_loading = true

-- on(name, fn): fn handles an event of an application, in a coroutine of its own. Names: "push.APP" fn(user, msg) after a delivery,
-- "message.APP" fn(ws, frame) for what a WebSocket said, "open.APP" and "close.APP" fn(ws, frame) when a user's connection joins and ends.
--   on("push.app1", function(user, msg) logit("pushed to " .. user) end)
function G.on(name, fn)
  check(name, "string", "on", 1)
  check(fn, "function", "on", 2)
  local kind, app = name:match("^(%l+)%.(.+)$")
  if not kind or not handlers[kind] then
    error("on: expected push.APP, message.APP, open.APP or close.APP, not " .. name, 2)
  end
  if not is_loading then
    error("on: handlers are named while plugins load, not later", 2)
  end
  local list = handlers[kind][app] or {}
  handlers[kind][app] = list
  list[#list + 1] = fn
end

function internal.handlers(kind, app)
  return handlers[kind][app] or {}
end

-- The WebSocket server as handlers are given it.
local Server = { __name = "websockets", __metatable = "websockets" }
Server.__index = Server
local server = setmetatable({}, Server)

-- ws:push(fd, text) -> whether the connection took it. A table goes as JSON.
function Server:push(fd, text)
  check(fd, "number", "push", 1)
  local ok, count = op.wsPush(fd, type(text) == "table" and rust.encode(text) or tostring(text))
  return ok and count > 0
end

-- ws:disconnect(fd, code?, reason?): closes the connection; by default with 1000.
function Server:disconnect(fd, code, reason)
  check(fd, "number", "disconnect", 1)
  op.wsDisconnect(fd, code or 1000, reason or "")
end

-- frame.fd, frame.app, frame.user, frame.data (text as it came) and frame.req (decoded, when first looked at).
local Frame = { __name = "frame", __metatable = "frame" }
Frame.__index = function(frame, name)
  if name == "req" then
    local req = rust.decode(rawget(frame, "data"))
    rawset(frame, "req", req)
    return req
  end
end

function internal.frame(fd, app, user, data)
  return server, setmetatable({ fd = fd, app = app, user = user, data = data }, Frame)
end

-- Calls ---------------------------------------------------------------------------------------------------------------

local Env = { __name = "env" }
Env.__index = Env

-- What a parameter's name is found under: "G" query, "P" body, else both, query first. An empty query value hides the body's.
local function find(env, name, from)
  local get, post = env._GET[name], env._POST[name]
  local value
  if from == "G" then
    value = get
  elseif from == "P" then
    value = post
  elseif get ~= nil then
    value = get
  else
    value = post
  end
  if value == nil or value == null or value == "" then
    return nil
  end
  if env._escape and type(value) == "string" then
    value = rust.escape(value)
  end
  return value
end

-- env:param(spec, default?, from?) -> the parameter in its type, or the default. spec: "name" text, "id" and "…Id" integer, "name/i", "/n",
-- "/b", "/dt", "/tm" (Unix s), "/s", "/i+" (list), "/js", "/i:n?:s" (list of rows); from: "G" or "P".
--   local qty = env:param("qty/i", 1)
function Env:param(spec, default, from)
  check(spec, "string", "param", 1)
  local ok, name, message, detail = rust.parameter(spec)
  if not ok then
    raise(name, message, detail)
  end
  local value = find(self, name, from)
  if value == nil then
    return default
  end
  ok, value, message, detail = rust.convert(spec, value)
  if not ok then
    raise(value, message, detail)
  end
  return value
end

-- env:mparam(spec, from?) -> the same; a missing one fails the call. With a list of specs one of them must be there -> their values.
--   local id = env:mparam("id"); local values = env:mparam({ "id", "code" })
function Env:mparam(spec, from)
  if type(spec) ~= "table" then
    local value = self:param(spec, nil, from)
    if value == nil then
      local name = spec:match("^[^/]*")
      raise(1, "缺少参数`" .. name .. "`", "Bad Request - param `" .. name .. "` is missing")
    end
    return value
  end
  local values, names, is_there = {}, {}, false
  for at, one in ipairs(spec) do
    values[at] = self:param(one, nil, from)
    names[at] = one:match("^[^/]*")
    is_there = is_there or values[at] ~= nil
  end
  if not is_there then
    local all = table.concat(names, " or ")
    raise(1, "缺少参数`" .. all .. "`", "Bad Request - require param " .. all)
  end
  return values
end

-- env:header() -> all headers of the request by name in lower case; env:header(name) -> one, or nil; env:header(name, value) sets one of the
-- response.
--   env:header("Content-Type", "text/csv")
function Env:header(name, value)
  if name == nil then
    return self._headers
  end
  check(name, "string", "header", 1)
  if value == nil then
    return self._headers[name:lower()]
  end
  local ok, why = rust.checkHeader(name, tostring(value))
  if not ok then
    error("header: " .. why, 2)
  end
  if name:lower() == "content-type" then
    self._type = tostring(value)
    return
  end
  local set = self._set
  set[#set + 1] = name
  set[#set + 1] = tostring(value)
end

-- env:write(text): writes a piece of the response's body; where any is written, it is sent instead of the answer.
function Env:write(text)
  local body = self._body
  body[#body + 1] = tostring(text)
end

local function cookie(env, wanted)
  for name, value in (env._headers.cookie or ""):gmatch("([^=;%s]+)=([^;]*)") do
    if name == wanted then
      return value
    end
  end
end

-- env:session_start(): env._SESSION is what the session holds, kept with the call's end. Cookie `{appType}id`.
function Env:session_start()
  if self._session then
    return
  end
  local name = self.appType .. "id"
  local given = cookie(self, name)
  local ok, id, data = op.session("load", given)
  if not ok then
    raise(4, nil, "session: " .. tostring(id))
  end
  self._session, self._SESSION = id, data
  self._stored = rust.encode(data)
  if id ~= given then
    self:header("Set-Cookie", name .. "=" .. id .. "; Path=/; HttpOnly; SameSite=Lax")
  end
end

-- env:session_destroy(): the session and what it holds are gone.
function Env:session_destroy()
  self:session_start()
  op.session("destroy", self._session)
  self._SESSION, self._stored = {}, nil
end

local function store_session(env)
  local data = env._session and env._stored and rust.encode(env._SESSION or {})
  if data and data ~= env._stored then
    local ok, why = op.session("store", env._session, env._SESSION)
    if not ok then
      raise(4, nil, "session: " .. tostring(why))
    end
  end
end

-- env:hasPerm(perm) -> whether onGetPerms(env), a function of the plugins, gives it: a number of bits, or a list of names. perm: bits, a
-- name, or a list of names of which one will do.
function Env:hasPerm(perm)
  local perms = self._perms
  if perms == nil then
    local fn = rawget(globals, "onGetPerms")
    perms = fn and fn(self) or {}
    self._perms = perms
  end
  if type(perms) == "number" then
    return type(perm) == "number" and perms & perm ~= 0
  end
  for _, wanted in ipairs(type(perm) == "table" and perm or { perm }) do
    for _, given in ipairs(perms) do
      if given == wanted then
        return true
      end
    end
  end
  return false
end

-- env:checkAuth(perm): fails the call with code 2 for who has no permission at all, with 5 for who lacks this one.
function Env:checkAuth(perm)
  if self:hasPerm(perm) then
    return
  end
  local perms = self._perms
  local is_nobody = perms == 0 or type(perms) == "table" and #perms == 0
  raise(is_nobody and 2 or 5, nil, "require auth: " .. tostring(type(perm) == "table" and table.concat(perm, "|") or perm))
end

local function new_env(get, post, headers, escape, fields)
  local env = setmetatable(fields, Env)
  env._GET, env._POST = get, post
  env._headers, env._escape = headers, escape
  env._set, env._body, env.onAfterActions = {}, {}, {}
  local app = get._app or post._app
  env.appName = type(app) == "string" and app:find("^[%w_-]+$") and app or "user"
  env.appType = env.appName:gsub("%d+$", ""):gsub("%-[%w_]+$", "")
  env.clientVer = get._ver or post._ver
  return env
end
internal.env = new_env

-- class(base?) -> a class: its functions are inherited, `:new(...)` makes an object and calls its `init(...)`.
--   AC_Order = class(JDApiBase); function AC_Order:api_pay() return { id = self:mparam("id") } end
function G.class(base)
  local class = {}
  class.__index = class
  class.new = function(_, ...)
    local object = setmetatable({}, class)
    if object.init then
      object:init(...)
    end
    return object
  end
  return setmetatable(class, { __index = base })
end

-- The base of objects (`AC_Name`): self.env, and env's functions as its own.
local Base = G.class()
for name, fn in pairs(Env) do
  if type(fn) == "function" then
    Base[name] = function(self, ...)
      return fn(self.env, ...)
    end
  end
end
G.JDApiBase = Base

-- A method of a class or of what it inherits from; bounded, for a plugin may close the chain.
local function inherited(class, name)
  for _ = 1, 32 do
    if type(class) ~= "table" then
      return nil
    end
    local found = rawget(class, name)
    if found ~= nil then
      return found
    end
    local meta = getmetatable(class)
    class = type(meta) == "table" and rawget(meta, "__index") or nil
  end
end

-- The function that answers a call, given its env; nil where no plugin does.
local function find_call(action)
  local object, method = action:match("^([^.]+)%.(.+)$")
  if not object then
    local fn = rawget(globals, "api_" .. action)
    return type(fn) == "function" and fn or nil
  end
  local class = rawget(globals, "AC_" .. object)
  local fn = inherited(class, "api_" .. method)
  if type(fn) ~= "function" then
    return nil
  end
  return function(env)
    local object = setmetatable({ env = env }, class)
    local start = inherited(class, "onInit")
    if start then
      start(object)
    end
    return fn(object)
  end
end
internal.find = find_call

-- Runs a call to its end: what comes behind it, its session, its transaction.
function internal.run(env, fn)
  local ok, ret = pcall(function()
    local ok, ret = pcall(fn, env)
    if not ok then
      if getmetatable(ret) ~= "jdRet" or ret.code ~= 0 then
        error(ret, 0)
      end
      ret = ret.detail
    end
    for _, action in ipairs(env.onAfterActions) do
      action(env, ret)
    end
    store_session(env)
    return ret
  end)
  local ended, why = op.endTransaction(ok)
  if not ok then
    error(ret, 0)
  end
  if not ended then
    raise(3, nil, why)
  end
  return ret
end

-- callSvcInt: a plugin's call runs here and now, in the same transaction; any other is made of the server.
function G.callSvcInt(ac, get, post)
  check(ac, "string", "callSvcInt", 1)
  local fn = find_call(ac)
  if not fn then
    return shared.call(ac, get, post)
  end
  local env = new_env(get or {}, post or {}, {}, false, {})
  local ok, ret = pcall(fn, env)
  if ok then
    return ret
  end
  if getmetatable(ret) == "jdRet" and ret.code == 0 then
    return ret.detail
  end
  error(ret, 0)
end

-- Shapes --------------------------------------------------------------------------------------------------------------

-- The function retfn_NAME(ret, env), or the one that X_RET_FN is.
function internal.shape(name)
  local fn = rawget(globals, "retfn_" .. name)
  if name == "X_RET_FN" then
    fn = rawget(globals, "X_RET_FN")
  end
  return type(fn) == "function" and fn or nil
end

-- What plugins define: names of calls, objects, shapes, the default shape, and events by kind.
function internal.table()
  is_loading = false
  local calls, objects, shapes, default = {}, {}, {}, nil
  for name, value in pairs(globals) do
    if type(name) == "string" then
      local call, object, shape = name:match("^api_([%w_]+)$"), name:match("^AC_(%u[%w_]*)$"), name:match("^retfn_([%w_]+)$")
      if call and type(value) == "function" then
        calls[#calls + 1] = call
      elseif object and type(value) == "table" then
        objects[#objects + 1] = object
        local class, seen = value, {}
        for _ = 1, 32 do
          if type(class) ~= "table" then
            break
          end
          for key, fn in next, class do
            local method = type(key) == "string" and type(fn) == "function" and key:match("^api_([%w_]+)$")
            if method and not seen[method] then
              seen[method] = true
              calls[#calls + 1] = object .. "." .. method
            end
          end
          local meta = getmetatable(class)
          class = type(meta) == "table" and rawget(meta, "__index") or nil
        end
      elseif shape and type(value) == "function" then
        shapes[#shapes + 1] = shape
      end
    end
  end
  local given = rawget(globals, "X_RET_FN")
  if type(given) == "function" then
    default = "X_RET_FN"
    shapes[#shapes + 1] = default
  elseif type(given) == "string" then
    default = given:gsub("^retfn_", "")
  end
  local events = {}
  for at, kind in ipairs({ "push", "message", "open", "close" }) do
    events[at] = {}
    for app in pairs(handlers[kind]) do
      events[at][#events[at] + 1] = app
    end
  end
  return calls, objects, shapes, default, events
end

function internal.isRet(value)
  return getmetatable(value) == "jdRet"
end

return G, internal
