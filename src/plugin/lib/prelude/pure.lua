-- Functions that only compute: errors, texts, lists and objects. No global of plugins is looked up in here.
local host, null = ...
local raise, mark_object, is_object, encode = host.raise, host.markObject, host.isObject, host.jsonEncode
local error, type, next, pairs, tostring, setmetatable = error, type, next, pairs, tostring, setmetatable
local math_type, huge, sub, find, select = math.type, math.huge, string.sub, string.find, select
local G, ours = {}, {}

function ours.check(value, number, name, kind)
  if type(value) ~= kind then
    raise("bad argument #" .. number .. " to '" .. name .. "' (" .. kind .. " expected, got " .. type(value) .. ")")
  end
end
local check = ours.check

-- What code raises that ends a call: {code, detail, message}, or with code 0 {code, data}. Rust knows it by this metatable.
local Ret = { __name = "jdRet", __metatable = "jdRet" }
function Ret.__tostring(e)
  return e.detail and tostring(e.detail) or "jdRet(" .. tostring(e.code) .. ")"
end
ours.Ret = Ret

local function text(value)
  if type(value) == "table" then return encode(value) end
  return tostring(value)
end
ours.text = text

-- Ends a call with an error.
local function fail(code, detail, message)
  error(setmetatable({ code = code, detail = detail, message = message }, Ret), 0)
end
ours.fail = fail

-- jdRet(code, detail?, message?): ends the call with the error [code, message, detail]; without a message the code's own
-- is taken. jdRet(0, data) ends it with data, jdRet(nil, text) with a text that is sent as it is, jdRet() with what
-- env:write() wrote. Raised as a table {code, detail, message}, so that pcall sees it.
-- Example: if not row then jdRet(E_PARAM, "bad id", "没有这个订单") end
function G.jdRet(code, detail, message)
  if code == nil then
    local env = ours.current()
    if detail ~= nil then
      if not env then raise("jdRet(nil, text): only in a call") end
      env:write(text(detail))
    end
    error(setmetatable({ code = 0 }, Ret), 0)
  end
  if math_type(code) ~= "integer" or code < -0x80000000 or code > 0x7fffffff then
    raise("bad argument #1 to 'jdRet' (a code, an integer, expected)")
  end
  if code == 0 then error(setmetatable({ code = 0, data = detail }, Ret), 0) end
  fail(code, detail ~= nil and text(detail) or "", message ~= nil and text(message) or nil)
end

-- Whether a table is an object rather than a list: marked so, or not empty and without a first element.
local function is_map(t)
  return is_object(t) or next(t) ~= nil and t[1] == nil
end

-- A new table of the same kind.
local function like(t)
  local new = {}
  if is_map(t) then mark_object(new) end
  return new
end

-- arrayCmp(a, b, same, callback): pairs up the elements of two lists by same(x, y), and calls callback(x, y) for each
-- pair and for each element that has no partner, which is nil then: first in a's order, then what is left of b.
-- Example: arrayCmp(wanted, present, function(x, y) return x.id == y.id end, function(x, y) … end)
function G.arrayCmp(a, b, same, callback)
  check(a, 1, "arrayCmp", "table")
  check(b, 2, "arrayCmp", "table")
  check(same, 3, "arrayCmp", "function")
  check(callback, 4, "arrayCmp", "function")
  local is_paired = {}
  for i = 1, #a do
    local x, found = a[i], nil
    for j = 1, #b do
      if same(x, b[j]) then
        found, is_paired[j] = b[j], true
        break
      end
    end
    callback(x, found)
  end
  for j = 1, #b do
    if not is_paired[j] then callback(nil, b[j]) end
  end
end

-- arrCopy(target?, source, fields?): copies members into target, or into a new object, and returns it. Of fields, each is
-- a name or {target's name, source's name}; without fields all are copied.
-- Example: local row = arrCopy({ orderId = id }, item, { "name", { "code", "itemCode" } })
function G.arrCopy(target, source, fields)
  if target == nil then target = mark_object({}) end
  check(target, 1, "arrCopy", "table")
  check(source, 2, "arrCopy", "table")
  if fields == nil then
    for k, v in pairs(source) do target[k] = v end
    return target
  end
  check(fields, 3, "arrCopy", "table")
  for i = 1, #fields do
    local to, from = fields[i], fields[i]
    if type(to) == "table" then to, from = to[1], to[2] end
    if to == nil or from == nil then raise("arrCopy: expected {to, from}") end
    target[to] = source[from]
  end
  return target
end

-- arrFind(t, test): the first element for which test(element, key) is true, and its key; nil where there is none.
-- Example: local row, at = arrFind(rows, function(row) return row.code == code end)
function G.arrFind(t, test)
  check(t, 1, "arrFind", "table")
  check(test, 2, "arrFind", "function")
  if is_map(t) then
    for k, v in pairs(t) do
      if test(v, k) then return v, k end
    end
  else
    for i = 1, #t do
      if test(t[i], i) then return t[i], i end
    end
  end
  return nil
end

-- arrMap(t, f): a table with f(element, key) for each element; a nil is null in a list and left out of an object.
-- Example: local names = arrMap(rows, function(row) return row.name end)
function G.arrMap(t, f)
  check(t, 1, "arrMap", "table")
  check(f, 2, "arrMap", "function")
  local new = like(t)
  if is_map(t) then
    for k, v in pairs(t) do new[k] = f(v, k) end
  else
    for i = 1, #t do
      local v = f(t[i], i)
      if v == nil then v = null end
      new[i] = v
    end
  end
  return new
end

-- arrGrep(t, test, map?): the elements for which test(element, key) is true, through map(element, key) where it is given.
-- A list stays one without gaps, an object keeps its keys.
-- Example: local big = arrGrep(rows, function(row) return row.amount > 100 end)
function G.arrGrep(t, test, map)
  check(t, 1, "arrGrep", "table")
  check(test, 2, "arrGrep", "function")
  if map ~= nil then check(map, 3, "arrGrep", "function") end
  local new = like(t)
  if is_map(t) then
    for k, v in pairs(t) do
      if test(v, k) then
        if map then v = map(v, k) end
        new[k] = v
      end
    end
    return new
  end
  for i = 1, #t do
    local v = t[i]
    if test(v, i) then
      if map then v = map(v, i) end
      if v == nil then v = null end
      new[#new + 1] = v
    end
  end
  return new
end

local function string_of(value, number, name)
  local kind = type(value)
  if kind == "number" then return tostring(value) end
  if kind ~= "string" then check(value, number, name, "string") end
  return value
end

-- startsWith(text, prefix): whether it begins with it. Example: startsWith("conf_x", "conf_")
function G.startsWith(s, prefix)
  s, prefix = string_of(s, 1, "startsWith"), string_of(prefix, 2, "startsWith")
  return sub(s, 1, #prefix) == prefix
end

-- endWith(text, suffix): whether it ends with it. Example: endWith("a.lua", ".lua")
function G.endWith(s, suffix)
  s, suffix = string_of(s, 1, "endWith"), string_of(suffix, 2, "endWith")
  return suffix == "" or sub(s, -#suffix) == suffix
end

-- inSet(word, set): whether a word is in a list, or in a text of words with commas, blanks or other signs between them.
-- Example: inSet("admin", "user,admin")
local in_text = host.inText
function G.inSet(word, set)
  if word == nil or set == nil then return false end
  word = tostring(word)
  if type(set) ~= "table" then return in_text(word, string_of(set, 2, "inSet")) end
  for i = 1, #set do
    if tostring(set[i]) == word then return true end
  end
  return false
end

-- makeUrl(url, params?, hash?): a URL with parameters, as urlEncodeArr writes them, and what is to stand behind it.
-- Example: makeUrl("http://host/api.php/hello", { id = 1 }) gives http://host/api.php/hello?id=1
local url_encode = host.urlEncodeArr
function G.makeUrl(url, params, hash)
  url = string_of(url, 1, "makeUrl")
  if params ~= nil then
    check(params, 2, "makeUrl", "table")
    local query = url_encode(params)
    if query ~= "" then
      local at = find(url, "#", 1, true)
      local fragment = at and sub(url, at) or ""
      url = at and sub(url, 1, at - 1) or url
      local last = sub(url, -1)
      local between = find(url, "?", 1, true) and (last == "?" or last == "&") and ""
      url = url .. (between or find(url, "?", 1, true) and "&" or "?") .. query .. fragment
    end
  end
  if hash ~= nil then url = url .. string_of(hash, 3, "makeUrl") end
  return url
end

-- Q(value): a value as SQL has it, in quotes where it is text, for who pastes. Better: `?` and a list of values.
-- Example: "name=" .. Q(name)
local quote = host.quote
function G.Q(value)
  if value == nil or value == null then return "null" end
  if value == true then return "1" elseif value == false then return "0" end
  local kind = type(value)
  if kind == "number" then
    if value ~= value or value == huge or value == -huge then raise("Q: expected a finite number") end
    return tostring(value)
  end
  return quote(string_of(value, 1, "Q"))
end

-- class(base?): a class with base's methods; without base a plain one. Instances: C:new(…), which calls init(self, …)
-- where there is one. A class named AC_Name made of JDApiBase is the object `Name` of calls: its method
-- api_xxx(self) answers `Name.xxx`, with the call's env in self.env and env's functions as its own, after its onInit(self) if it has
-- one.
-- Example: AC_Order = class(JDApiBase); function AC_Order:api_get() return { id = self.env:mparam("id") } end
local function new(class, ...)
  local object = setmetatable({}, class)
  local init = object.init
  if init then init(object, ...) end
  return object
end

function G.class(...)
  local base = ...
  if select("#", ...) > 0 then check(base, 1, "class", "table") end
  local C = { super = base, new = new }
  C.__index = C
  return setmetatable(C, { __index = base })
end

local Base = { new = new }
Base.__index = Base
G.JDApiBase, ours.Base = Base, Base

-- Codes and formats under their known names.
G.E_ABORT, G.E_AUTHFAIL, G.E_OK, G.E_PARAM, G.E_NOAUTH = -100, -1, 0, 1, 2
G.E_DB, G.E_SERVER, G.E_FORBIDDEN = 3, 4, 5
G.T_HOUR, G.T_DAY, G.FMT_DT, G.FMT_D = 3600, 86400, "Y-m-d H:i:s", "Y-m-d"
G.null = null

return G, ours
