local op, to_globals = ...
local handlers = { push = {}, message = {}, open = {}, close = {} }
local G = {}
function G.on(name, fn)
  local kind, app = name:match("^(%a+)%.(.+)$")
  local list = handlers[kind][app] or {}
  handlers[kind][app] = list
  list[#list + 1] = fn
end
function G.sleep(ms) op.sleep(ms) end
function G.safeGo(fn) op.spawn(fn) end
function G.setTimeoutLocal(ms, fn) return op.timer(ms, fn, false) end
function G.pushMsg(app, user, msg) return op.call("push", { app = app, user = user, msg = msg }, {}) end
function G.callSvcInt(ac, get, post) return op.call(ac, get or {}, post or {}) end
function G.httpCall(url, data)
  local r = op.http({ { url = url, data = data } })
  return r[1].body, r[1].status, r[1].error
end
return G, handlers, { push = function(fd, t) return op.wsPush(fd, t) end, disconnect = function(fd, c, r) op.wsDisconnect(fd, c, r) end }
