-- An example plugin. Its name ends in .disabled: rename it to 10-example.lua, then `curl localhost:8081/reload` loads it.
-- Plugins are all *.lua here, in the order of their names. The chapter Plugins of /manual/ explains every function.

-- A call: curl 'localhost:8081/greet?name=Ann&times=2'. What it returns is the answer's data.
function api_greet(env)
  local name = env:mparam("name")         -- must be there
  local times = env:param("times/i", 1)   -- an integer, 1 where it is not given
  return ("hello " .. name .. " "):rep(times)
end

-- After each push to the app `example`, with the receivers and the message as they were given.
on("push.example", function(user, msg)
  logit("pushed to " .. user .. ": " .. msg)
end)

-- A message of a user who is connected to that app: {"ac":"say","text":"hi"} goes to everybody there.
-- `frame.req` is the message, decoded; what is pushed here arrives before the sender's own answer.
on("message.example", function(ws, frame)
  if frame.req.ac == "say" then
    pushMsg("example", "*", { from = frame.user, text = frame.req.text })
  elseif frame.req.ac == "whoami" then
    ws:push(frame.fd, { user = frame.user, connection = frame.fd })
  end
end)

-- An object: POST /Note adds one, GET /Note/1 and GET /Note show them, DELETE /Note/1 removes it.
-- It is kept until the next reload; queryOne, dbInsert and the like keep things in a database.
AC_Note = class(JDApiBase)
local notes, last = {}, 0

function AC_Note:api_add()
  last = last + 1
  notes[last] = { id = last, text = self:mparam("text"), tm = date() }
  pushMsg("example", "*", { note = last })
  return last
end

function AC_Note:api_get()
  return notes[self:mparam("id")] or jdRet(E_PARAM, "no such note", "没有这条便签")
end

function AC_Note:api_query()
  local list = {}
  for id = 1, last do
    list[#list + 1] = notes[id]
  end
  return list
end

function AC_Note:api_del()
  notes[self:mparam("id")] = nil
end
