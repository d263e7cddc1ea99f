-- A service of lines over TCP, one of datagrams over UDP, and calls that connect to others.
local ADDRESS, GREETING = "127.0.0.1:0", "one"

local commands = {}

function commands.line(conn, rest)
  return rest
end

function commands.bytes(conn, rest)
  return conn:read(math.tointeger(rest), 30) or "no bytes"
end

function commands.nothing(conn)
  local data, why = conn:read(1, 0.01)
  return tostring(data) .. " " .. why
end

function commands.twice(conn)
  safeGo(function() conn:read(1, 30) end)
  sleep(1)
  return select(2, conn:read(1, 30))
end

-- Writes until the peer, which does not read, has all that the system takes for it.
function commands.flood(conn)
  local piece, ok, why = ("x"):rep(1 << 20), nil, nil
  repeat
    ok, why = conn:write(piece, 0.02)
  until not ok
  logit("flood ended: " .. why .. ", then " .. select(2, conn:write("more", 1)))
end

function commands.huge(conn)
  return (select(2, conn:write(("x"):rep((4 << 20) + 1))))
end

function commands.close(conn)
  conn:write("closing\n")
  conn:close()
  logit("after a close: " .. select(2, conn:read()) .. ", " .. select(2, conn:write("x")))
end

local listener = listenTcp(ADDRESS, function(conn)
  conn:write(GREETING .. "\n")
  while true do
    local line, why = conn:readLine(60)
    if not line then
      -- What came without an end of its line is still there.
      conn:write("left " .. tostring(conn:read()) .. ", " .. why .. "\n")
      return
    end
    local name, rest = line:match("^(%a+) ?(.*)$")
    local answer = commands[name](conn, rest)
    if answer then
      conn:write(answer .. "\n")
    end
  end
end)

local udp = listenUdp("127.0.0.1:0", function(data, peer, udp)
  if data == "huge" then
    data = select(2, udp:send(("x"):rep(70000), peer))
  end
  udp:send(data:upper(), peer)
end)

function api_places(env)
  return listener:address() .. " " .. udp:address()
end

function api_connect(env)
  local conn, why = connectTcp(env:mparam("to"), env:param("timeout/n", 30))
  return conn and "connected" or why
end

-- Connects to itself as often as it may.
function api_many(env)
  local conns, why = {}, nil
  repeat
    local conn
    conn, why = connectTcp(listener:address(), 30)
    conns[#conns + 1] = conn
  until not conn
  for _, conn in ipairs(conns) do
    conn:close()
  end
  return { #conns, why }
end
