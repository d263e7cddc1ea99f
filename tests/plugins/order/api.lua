-- Handlers that say what they heard, and wait where a test says so.
local open_gates = {}

-- A handler of a message with `gate` ends once that is open.
local function pass(gate)
  while gate and not open_gates[gate] do
    sleep(1)
  end
end

function api_open(env)
  open_gates[env:mparam("gate")] = true
end

local function tell(text)
  pushMsg("watch", "*", text)
end

-- Messages: what they push, and when.
on("message.chat", function(ws, frame)
  pass(frame.req.gate)
  pushMsg("chat", frame.user, "handled " .. tostring(frame.req.n))
end)

on("message.chat", function(ws, frame)
  ws:push(frame.fd, "and again")
end)

-- A push: its handlers are over before it is answered.
local ended = 0

on("push.slow", function(user, msg)
  pass("slow")
  ended = ended + 1
end)

on("push.slow", function(user, msg)
  sleep(1)
  ended = ended + 1
end)

function api_ended(env)
  return ended
end

on("push.never", function(user, msg)
  pass("never")
end)

-- A push over a WebSocket is heard by both kinds of handlers of the app pushed to.
on("push.target", function(user, msg)
  pushMsg("source", "*", "push " .. user .. " " .. msg)
end)

on("message.target", function(ws, frame)
  ws:push(frame.fd, "message of " .. frame.user .. " in " .. frame.app .. " " .. frame.data)
end)

on("message.source", function(ws, frame)
  ws:push(frame.fd, "own " .. frame.req.ac)
end)

-- The receivers as given, the message as sent.
on("push.given", function(user, msg)
  tell(jsonEncode({ user, msg }))
end)

on("message.code", function(ws, frame)
  ws:push(frame.fd, tostring(pcall(ws.disconnect, ws, frame.fd, frame.req.code, "a reason")))
end)

-- Who comes and goes.
on("open.life", function(ws, frame)
  tell("open " .. frame.user .. " " .. frame.data)
  ws:push(frame.fd, "welcome")
end)

on("message.life", function(ws, frame)
  pass(frame.req.gate)
  tell("message " .. frame.user)
end)

on("close.life", function(ws, frame)
  tell("close " .. frame.user)
end)
