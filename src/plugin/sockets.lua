-- Sockets for plugins: listenTcp, connectTcp, listenUdp. Reads and writes wait for the coroutine that makes
-- them, for nobody else. What a peer or the network does is an answer (nil and why), never an error.
local listen_tcp, listen_udp, connect_tcp, read, write, close, send_to, local_address = ...
local setmetatable, type, error = setmetatable, type, error

local Connection = { __name = "connection" }
Connection.__index = Connection
Connection.__metatable = "connection"

-- conn:readLine(timeout?) -> a line without its end; nil, "closed" | "timeout" | why.  timeout in s, none without.
function Connection:readLine(timeout)
  return read(self.id, "line", 0, timeout)
end

-- conn:read(n?, timeout?) -> exactly n bytes, or without n what there is; nil, "closed" | "timeout" | why.
function Connection:read(n, timeout)
  if n == nil then
    return read(self.id, "some", 0, timeout)
  end
  return read(self.id, "exactly", n, timeout)
end

-- conn:write(data, timeout?) -> true once all of it is with the system; nil, "timeout" | why.
function Connection:write(data, timeout)
  return write(self.id, data, timeout)
end

-- conn:close(): whoever reads from it or writes to it is told.
function Connection:close()
  close(self.id)
end

-- `held` is closed with the last that holds it.
local function connection(id, peer, held)
  return setmetatable({ id = id, peer = peer, held = held }, Connection)
end

local Listener = { __name = "listener" }
Listener.__index = Listener
Listener.__metatable = "listener"

function Listener:close()
  close(self.id)
end

-- listener:address() -> "127.0.0.1:1883", also where port 0 was asked for.
function Listener:address()
  return local_address(self.id)
end

-- udp:send(data, peer): a datagram to "ADDRESS:PORT" -> true; nil, why.
local Udp = { __name = "udp", close = Listener.close, address = Listener.address }
Udp.__index = Udp
Udp.__metatable = "udp"

function Udp:send(data, peer)
  return send_to(self.id, data, peer)
end

local function check(handler, name)
  if type(handler) ~= "function" then
    error(name .. ": expected a function as second argument", 3)
  end
end

-- listenTcp("127.0.0.1:1883", function(conn) … end) -> a listener. Each connection runs the function in a coroutine of
-- its own, at whose end it is closed; conn.peer is the other end's address. Over a reload of plugins the same address is handed over
-- without a gap. Error: the address cannot be had.
local function listenTcp(address, handler)
  check(handler, "listenTcp")
  return setmetatable({
    id = listen_tcp(address, function(id, peer)
      return handler(connection(id, peer))
    end),
  }, Listener)
end

-- connectTcp("host:port", timeout?) -> a connection, which closes by itself once nobody holds it; nil, "timeout" | why.
local function connectTcp(address, timeout)
  local id, held = connect_tcp(address, timeout)
  if not id then
    return nil, held
  end
  return connection(id, address, held)
end

-- listenUdp("127.0.0.1:5683", function(data, peer, udp) … end) -> a socket that also sends: udp:send(data, peer).
local function listenUdp(address, handler)
  check(handler, "listenUdp")
  local udp = setmetatable({}, Udp)
  udp.id = listen_udp(address, function(data, peer)
    return handler(data, peer, udp)
  end)
  return udp
end

return { listenTcp = listenTcp, connectTcp = connectTcp, listenUdp = listenUdp }
