-- The calls of a small shop: parameters, a session, a database, a call of another call.
local money = require("lib.money")

function api_price(env)
  local qty = env:param("qty/i", 1)
  local price = env:mparam("price/n")
  if qty < 1 then
    jdRet(E_PARAM, "bad qty", "数量不正确")
  end
  return { qty = qty, sum = money.round(qty * price), user = env.appName }
end

function api_cheap(env)
  local one = callSvcInt("price", { price = env:mparam("price/n") })
  return arrGrep({ one.sum, 5, 50 }, function(sum) return sum < 10 end)
end

function api_visits(env)
  env:session_start()
  env._SESSION.n = (env._SESSION.n or 0) + 1
  return env._SESSION.n
end

-- Two calls of one session at once: the first ends when the second has ended.
local begun, ended = false, false
function api_first(env)
  env:session_start()
  env._SESSION.first, begun = true, true
  for _ = 1, 5000 do
    if ended then return env._SESSION end
    sleep(1)
  end
end

function api_begun()
  return begun
end

function api_second(env)
  env:session_start()
  env._SESSION.second = true
  env._SESSION.n = nil
  table.insert(env.onAfterActions, function() ended = true end)
end

function api_session(env)
  env:session_start()
  return env._SESSION
end

function api_csv(env)
  env:header("Content-Type", "text/csv")
  env:write("id;name\n1;tea\n")
end

AC_Item = class(JDApiBase)

function AC_Item:onInit()
  execOne("CREATE TABLE IF NOT EXISTS Item (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER)")
end

function AC_Item:api_add()
  return dbInsert("Item", { name = self:mparam("name"), qty = self:param("qty/i", 1) })
end

function AC_Item:api_get()
  return queryOne("SELECT * FROM Item WHERE id=?", { self:mparam("id") }, true) or jdRet(E_PARAM, "no such item")
end

function AC_Item:api_set()
  local row = arrCopy(nil, self.env._POST, { "name", "qty" })
  return dbUpdate("Item", row, { id = self:mparam("id") })
end

-- Fails once it has changed something: nothing of it stays.
function AC_Item:api_fail()
  dbUpdate("Item", { qty = 0 }, "ALL")
  jdRet(E_FORBIDDEN, "not today")
end

function AC_Item:api_query()
  return queryAll("SELECT * FROM Item ORDER BY id")
end
