-- The env of a call, sessions, rights, logs, and what runs around a plugin's function.
local host, ours, op = ...
local raise, check, fail, text, called = host.raise, ours.check, ours.fail, ours.text, ours.called
local type, tostring, pcall, error, setmetatable, getmetatable, rawget =
  type, tostring, pcall, error, setmetatable, getmetatable, rawget
local match, math_type, tointeger = string.match, math.type, math.tointeger
local ipairs, pairs, next = ipairs, pairs, next
local task, global, encode, mark_object = host.task, host.global, host.jsonEncode, host.markObject
local G = {}

local Env = {}
Env.__index = Env

-- By task: a call's env lives as long as its coroutine does.
local envs = setmetatable({}, { __mode = "v" })
function ours.current()
  return envs[task()]
end
local current = ours.current

-- env._GET and env._POST hold the query's and the body's parameters; env.method, .path, .query and .address (as in logs) are the
-- request's; env.appName is the parameter _app ("user" without one, or where it is no name), env.appType that without digits
-- or -word at its end, env.clientVer is _ver. Functions in env.onAfterActions are called with env and what the call returned, once it is
-- committed. Example: table.insert(env.onAfterActions, function(env, ret) pushMsg("app1", "*", ret) end)
local request = host.request
local function new_env(call, get, post, escape)
  local env = setmetatable({ _call = call, _escape = escape, _GET = get, _POST = post, onAfterActions = {} }, Env)
  env.method, env.path, env.query, env.address = request(call)
  local name = get._app or post._app
  if type(name) ~= "string" or #name > 64 or not match(name, "^[%w_%-]+$") then name = "user" end
  env.appName = name
  env.appType = match(name, "^(.-)%-[%w_]+$") or match(name, "^(.-)%d+$") or name
  env.clientVer = get._ver or post._ver
  return env
end

local function sources(env, col)
  if col == nil then return env._GET, env._POST end
  if col == "G" then return env._GET end
  if col == "P" then return env._POST end
  if type(col) == "table" then return col end
  raise('expected "G" for the query, "P" for the body, or a table')
end

local read_param = host.param
local function param(env, spec, col)
  if type(spec) ~= "string" then raise("expected a parameter's name, e.g. id or name/i") end
  local get, post = sources(env, col)
  local value, code, detail, message = read_param(get, post, env._escape, spec)
  if code then fail(code, detail, message) end
  return value
end

-- env:param(spec, default?, col?): a parameter in its type, or default where it is missing, null or empty. Specs: name, id and
-- fooId (integers), name/i, /n, /b, /dt, /tm (Unix seconds), /s, /i+, /js, /i:n?:s (rows). col: "G" query only, "P" body
-- only, or a table to read from. Errors: code 1, a value of another type. Example: local n = env:param("count/i", 10)
function Env:param(spec, default, col)
  local value = param(self, spec, col)
  if value == nil then return default end
  return value
end

-- env:mparam(spec, col?): the same, but code 1 where it is missing. env:mparam({spec, …}, col?) wants one of several and returns
-- a list of their values. Example: local values = env:mparam({"id", "code"})
function Env:mparam(spec, col)
  if type(spec) ~= "table" then
    local value = param(self, spec, col)
    if value == nil then fail(host.missing({ spec })) end
    return value
  end
  local values, found = {}, false
  for i = 1, #spec do
    values[i] = param(self, spec[i], col)
    found = found or values[i] ~= nil
  end
  if not found then fail(host.missing(spec)) end
  return values
end

-- env:header(): all headers of the request by name, in lower case; env:header(name): one of them, or nil;
-- env:header(name, value): adds one to the response (a Content-Type goes with what env:write writes). Errors: a name or value that is none, or
-- one that frames the response. Example: local agent = env:header("User-Agent")
local header, set_header = host.header, host.setHeader
function Env:header(name, value)
  if value ~= nil then return set_header(self._call, tostring(name), text(value)) end
  return header(self._call, name)
end

-- env:write(text): adds to a body of one's own, which is sent instead of the answer. Example: env:write("hello")
local write = host.write
function Env:write(value)
  write(self._call, text(value))
end

-- Where the kinds of apps keep who is logged in, as the original has it; others have it in {kind}Id, or uid. For ApiLog.
local user_keys = { user = "uid", emp = "empId", store = "empId", admin = "adminId" }
local use_session = host.useSession
local function note_session(env)
  local session, data, user = env._session, env._SESSION, nil
  if type(data) == "table" then
    for _, key in ipairs { user_keys[session.kind] or "uid", session.kind .. "Id", "uid" } do
      local value = rawget(data, key)
      user = user or (type(value) == "number" or type(value) == "string") and tointeger(value) or nil
    end
  end
  use_session(env._call, session.id, user, session.isNew and session.name or nil)
end

local function member(key)
  local kind = type(key)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then raise("session: a " .. kind .. " cannot be a member's name") end
  return tostring(key)
end

-- A session's members as JSON each, by name: what a call changes is told from what it leaves.
local function members(data)
  local all = {}
  for key, value in next, data do
    all[member(key)] = encode(value)
  end
  return all
end

-- env:session_start(): env._SESSION is from now on what is stored for the session that the request's cookie {appType}id names,
-- or an empty one, whose cookie is sent. Its members that the call sets, changes or removes are stored at the call's end, the
-- others stay as they are then: calls of one session at once do not undo each other. Who is logged in (uid, empId, adminId)
-- is told in ApiLog. Example: env:session_start(); env._SESSION.uid = 1
function Env:session_start()
  local root = self._root or self
  if not root._session then
    local kind = tostring(self.appType)
    local name = kind .. "id"
    local given = host.cookie(self._call, name)
    local ok, id, data = op.session("load", given)
    if not ok then fail(4, "session: " .. id) end
    if id ~= given then host.setCookie(self._call, name, id) end
    root._session = { id = id, name = name, kind = kind, isNew = id ~= given, stored = members(data) }
    root._SESSION = data
    note_session(root)
  end
  self._SESSION = root._SESSION
end

-- env:session_destroy(): removes the session and its cookie.
function Env:session_destroy()
  self:session_start()
  local root = self._root or self
  local session = root._session
  root._session, root._SESSION, self._SESSION = nil, nil, nil
  host.setCookie(self._call, session.name, nil)
  local ok, why = op.session("destroy", session.id)
  if not ok then fail(4, "session: " .. why) end
end

local function save_session(env)
  local session = env._session
  if type(session) ~= "table" then return end
  local data = env._SESSION
  if type(data) ~= "table" then data = {} end
  note_session(env)
  local before, now, set, removed = session.stored, members(data), mark_object({}), {}
  for key, value in next, data do
    key = member(key)
    if now[key] ~= before[key] then set[key] = value end
  end
  for key in next, before do
    if now[key] == nil then removed[#removed + 1] = key end
  end
  if next(set) == nil and #removed == 0 then return end
  session.stored = now
  local ok, why = op.session("store", session.id, set, removed, session.isNew)
  if not ok then fail(4, "session: " .. why) end
  session.isNew = false
end

-- What onGetPerms(env), a global function of the plugins, says: bits, a list of names, or both.
local function perms(env)
  local f = global("onGetPerms")
  return f and f(env) or 0
end

local in_set = ours.inSet
local function has(given, wanted)
  if math_type(wanted) == "integer" then
    if wanted == 0 then return true end
    if type(given) == "table" then given = given[1] end
    return math_type(given) == "integer" and given & wanted ~= 0
  end
  if type(given) == "number" then return false end
  return in_set(wanted, given)
end

local function has_any(given, wanted)
  if type(wanted) ~= "table" then return has(given, wanted) end
  for i = 1, #wanted do
    if has(given, wanted[i]) then return true end
  end
  return false
end

-- env:hasPerm(perm), hasPerm(perm): whether onGetPerms(env) gives one of these bits (AUTH_USER | AUTH_EMP …), this name, or one of
-- a list of names. Example: if hasPerm(AUTH_ADMIN) then … end
function Env:hasPerm(perm)
  return has_any(perms(self), perm)
end

local function names(perm)
  local table_of, list = global("PERMS"), ""
  if type(perm) == "table" then
    for i = 1, #perm do list = list .. (i == 1 and "" or "|") .. tostring(perm[i]) end
    return list
  end
  if math_type(perm) ~= "integer" then return tostring(perm) end
  for bit = 0, 31 do
    if perm & 1 << bit ~= 0 and type(table_of) == "table" and table_of[1 << bit] then
      list = list .. (list == "" and "" or "|") .. tostring(table_of[1 << bit])
    end
  end
  return list == "" and "???" or list
end

-- env:checkAuth(perm), checkAuth(perm): ends the call where hasPerm(perm) is false: code 2 for who is not logged in (no bit
-- of AUTH_LOGIN and no name), else code 5. Example: checkAuth(AUTH_USER)
function Env:checkAuth(perm)
  local given = perms(self)
  if has_any(given, perm) then return end
  local is_in = given ~= "" and given ~= 0
  if math_type(given) == "integer" then
    is_in = given & (math_type(global("AUTH_LOGIN")) == "integer" and global("AUTH_LOGIN") or 0xff) ~= 0
  elseif type(given) == "table" then
    is_in = given[1] ~= nil
  end
  fail(is_in and 5 or 2, "require auth: " .. names(perm))
end

for _, name in ipairs { "hasPerm", "checkAuth" } do
  local method = Env[name]
  G[name] = function(perm)
    local env = current()
    if not env then raise(name .. ": only in a call") end
    return method(env, perm)
  end
end
G.AUTH_GUEST, G.AUTH_USER, G.AUTH_EMP, G.AUTH_ADMIN, G.AUTH_LOGIN, G.PERM_MGR = 0, 1, 2, 4, 0xff, 0x100
G.PERMS = { [1] = "user", [2] = "employee", [4] = "admin", [0x100] = "manager" }

local log = host.log
local function address()
  local env = current()
  local known = env and env.address
  return type(known) == "string" and known or nil
end

local function log_to(file, value)
  log(file, address(), text(value))
end

-- logit(value, file?): a line `=== REQ from [ADDR] at [TIME] value` in trace.log, or slow.log or debug.log; another file's name
-- stands before the text. A table goes as JSON. Example: logit({ id = 1 }, "slow")
function G.logit(value, file, more)
  if type(file) == "boolean" then file = more end
  log_to(file == nil and "trace" or tostring(file), value)
end

-- writeLog(value, file?): a line in the server's own log, or as logit in another. Example: writeLog("ready")
function G.writeLog(value, file)
  log_to(file == nil and "server" or tostring(file), value)
end

-- addLog(value): a line in debug.log. Example: addLog(env._GET)
function G.addLog(value)
  log_to("debug", value)
end

local function is_end(e)
  return type(e) == "table" and getmetatable(e) == "jdRet" and rawget(e, "code") == 0
end

-- What comes after a call's function, however it ended; not where its coroutine was killed.
local End = {}
function End.__close(guard, e)
  local env = guard.env
  local ok = e == nil or is_end(e)
  if env._usesDatabase then
    local done, why = op.endTransaction(ok)
    if not done then fail(3, why) end
  end
  save_session(env)
  if not ok then return end
  local actions = env.onAfterActions
  for i = 1, type(actions) == "table" and #actions or 0 do
    local went, wrong = pcall(actions[i], env, guard.value)
    if not went then log("trace", address(), "onAfterActions fails: " .. tostring(wrong)) end
  end
end

local function answer(env, f, class)
  if not class then return (f(env)) end
  local object
  local make = class.new
  if type(make) == "function" then
    object = make(class)
  else
    object = setmetatable({}, { __index = class })
  end
  object.env = env
  local start = object.onInit
  if start then start(object) end
  return (f(object))
end

-- The body of a call's coroutine.
local function run(f, class, call, get, post, escape)
  local env = new_env(call, get, post, escape)
  envs[task()] = env
  local guard <close> = setmetatable({ env = env }, End)
  local value = answer(env, f, class)
  guard.value = value
  return value
end

-- The body of a shape's coroutine: f(ret, env) gives the text that is sent; a table goes as JSON.
local function shape(f, ret, call, get)
  local env = new_env(call, get, {}, false)
  envs[task()] = env
  local guard <close> = setmetatable({ env = env }, End)
  local value = f(ret, env)
  guard.value = value
  if type(value) == "table" then return encode(value) .. "\n" end
  return value ~= nil and tostring(value) or nil
end

-- callSvcInt(ac, get?, post?): makes a call of the daemon's or of a plugin's and returns its data; one of a plugin made within a
-- call shares its transaction and session. Errors: those of the call. Example: local n = callSvcInt("push", {}, { app = "a", user = "*", msg = "hi" })
local Restore = {}
function Restore.__close(guard)
  envs[task()] = guard.outer
  guard.outer._SESSION = guard.inner._SESSION
end
local find = host.find
function G.callSvcInt(ac, get, post)
  check(ac, 1, "callSvcInt", "string")
  get, post = get or {}, post or {}
  check(get, 2, "callSvcInt", "table")
  check(post, 3, "callSvcInt", "table")
  local outer, f, class = current(), find(ac)
  if not outer or not f then return called(op.call(ac, get, post)) end
  local depth = (outer._depth or 0) + 1
  if depth > host.callDepthMax then raise("callSvcInt: more than " .. host.callDepthMax .. " calls in each other") end
  local inner = new_env(outer._call, get, post, false)
  inner._depth = depth
  inner._root, inner._SESSION, inner.onAfterActions = outer._root or outer, outer._SESSION, outer.onAfterActions
  envs[task()] = inner
  local restore <close> = setmetatable({ outer = outer, inner = inner }, Restore)
  local ok, value = pcall(answer, inner, f, class)
  if ok then return value end
  if is_end(value) then return rawget(value, "data") end
  error(value, 0)
end

-- Methods of objects have env's functions as their own: self:mparam("id").
local Base = ours.Base
for name, f in pairs(Env) do
  if type(f) == "function" then
    Base[name] = function(self, ...) return f(self.env, ...) end
  end
end

return G, Env, run, shape
