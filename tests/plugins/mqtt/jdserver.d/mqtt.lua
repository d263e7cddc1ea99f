-- A small MQTT 3.1.1 broker as a plugin, bridged to push: what is published to a topic is pushed to the users of app `mqtt`
-- whose name is the topic, and what is pushed to one of them by its name is published. Source: OASIS MQTT Version 3.1.1,
-- whose sections are in brackets. Deliveries have QoS 0, a publication of QoS 1 is acknowledged. Not there: QoS 2, sessions
-- that outlive their connection, passwords.

local LISTEN = "127.0.0.1:1883"
local APP = "mqtt"
local PACKET_BYTES_MAX = 65536
local QUEUE_BYTES_MAX = 1 << 20 -- for a client that does not read
local RETAINED_BYTES_MAX = 4 << 20
local FILTERS_MAX = 100
local PACKET_S, WRITE_S = 10, 30

local CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
local UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14

-- Lists that all connections share. They are replaced, never changed: whoever goes through one lets others run.
local clients = {}
local retained = {}

-- What a client does that no client may do ends its connection [4.8].
local function violation(what)
  error(what, 0)
end

local function without(list, item)
  return arrGrep(list, function(other) return other ~= item end)
end

local function with(list, item)
  local all = without(list, item)
  all[#all + 1] = item
  return all
end

-- Packets [2.2].
local function packet(kind, flags, body)
  local length, header = #body, { string.char(kind << 4 | flags) }
  repeat
    local byte = length & 127
    length = length >> 7
    header[#header + 1] = string.char(length > 0 and byte | 128 or byte)
  until length == 0
  return table.concat(header) .. body
end

local function publication(topic, payload, flags)
  return packet(PUBLISH, flags, string.pack(">s2", topic) .. payload)
end

-- Kind, flags and body of the next packet; nothing where the connection is over, or was silent for too long.
local function read_packet(conn, timeout)
  local first, length = conn:read(1, timeout), 0
  if not first then return nil end
  for shift = 0, 21, 7 do
    local byte = string.byte(conn:read(1, PACKET_S) or violation("a packet without an end"))
    length = length | (byte & 127) << shift
    if byte < 128 then
      if length > PACKET_BYTES_MAX then violation("a packet of " .. length .. " bytes") end
      local body = conn:read(length, PACKET_S) or violation("a packet without an end")
      return first:byte() >> 4, first:byte() & 15, body
    end
  end
  violation("a length of more than four bytes")
end

-- A text of a packet [1.5.3], and where it ends.
local function text(body, at)
  local value, behind = string.unpack(">s2", body, at)
  if not utf8.len(value) or value:find("\0", 1, true) then violation("a text that is no UTF-8") end
  return value, behind
end

-- Topics and filters [4.7] by their levels, empty ones too.
local function levels(topic)
  local list = {}
  for level in (topic .. "/"):gmatch("([^/]*)/") do
    list[#list + 1] = level
  end
  return list
end

local function matches(wanted, given)
  -- Wildcards do not match topics of the server's own [4.7.2].
  if given[1]:sub(1, 1) == "$" and (wanted[1] == "+" or wanted[1] == "#") then return false end
  for at, level in ipairs(wanted) do
    if level == "#" then return true end
    if not given[at] or level ~= "+" and level ~= given[at] then return false end
  end
  return #wanted == #given
end

-- Whether one of the filters does.
local function wants(filters, given)
  return arrFind(filters, function(filter) return matches(filter.levels, given) end) ~= nil
end

-- Filters without one.
local function but(filters, text)
  return arrGrep(filters, function(filter) return filter.text ~= text end)
end

local function is_topic(topic)
  return #topic > 0 and not topic:find("[+#]")
end

local function is_filter(filter)
  -- Wildcards fill a level, `#` the last one: without those, none may be left.
  local rest = ("/" .. filter):gsub("/#$", ""):gsub("/%+%f[/\0]", "")
  return #filter > 0 and not rest:find("[+#]")
end

-- Packets of one client leave in their order: one coroutine writes, the others leave them for it.
local function write_queue(client)
  while #client.queue > 0 do
    local queue = client.queue
    client.queue, client.queued = {}, 0
    if not client.conn:write(table.concat(queue), WRITE_S) then
      client.conn:close()
      break
    end
  end
  client.is_writing = false
end

local function send(client, bytes)
  client.queued = client.queued + #bytes
  if client.queued > QUEUE_BYTES_MAX then return client.conn:close() end
  client.queue[#client.queue + 1] = bytes
  if not client.is_writing then
    client.is_writing = true
    safeGo(write_queue, client)
  end
end

local function publish(topic, payload)
  local given, bytes = levels(topic), publication(topic, payload, 0)
  for _, client in ipairs(clients) do
    if wants(client.filters, given) then
      send(client, bytes)
    end
  end
end

-- Keeps the last message of a topic for those who subscribe later; an empty one takes it away [3.3.1.3].
local function retain(topic, payload)
  local rest, bytes = {}, #topic + #payload
  for _, entry in ipairs(retained) do
    if entry.topic ~= topic then
      rest[#rest + 1] = entry
      bytes = bytes + #entry.topic + #entry.payload
    end
  end
  if payload ~= "" and bytes <= RETAINED_BYTES_MAX then
    rest[#rest + 1] = { topic = topic, levels = levels(topic), payload = payload }
  end
  retained = rest
end

-- The second receiver of our own pushes: nobody has that name, but our handler knows them by it.
local OURS = "mqtt " .. randChr(16)

-- What a client said, to all who want it.
local function take(topic, payload, is_retained)
  if topic:sub(1, 1) == "$" then return end
  if is_retained then
    retain(topic, payload)
  end
  publish(topic, payload)
  if payload ~= "" and utf8.len(payload) then
    -- A push is a text, and its receiver a pattern. One that fails is no fault of the client's.
    pcall(pushMsg, APP, { (topic:gsub("[%*%?%[\\]", "\\%0")), OURS }, payload)
  end
end

local handlers, flags_of = {}, { [SUBSCRIBE] = 2, [UNSUBSCRIBE] = 2, [PINGREQ] = 0 }

handlers[PUBLISH] = function(client, flags, body)
  local topic, at = text(body, 1)
  local qos = flags >> 1 & 3
  local id = body:sub(at, at + 2 * qos - 1)
  if not is_topic(topic) or qos > 1 or #id < 2 * qos then
    violation("a publication of QoS " .. qos .. " to " .. topic)
  end
  take(topic, body:sub(at + #id), flags & 1 == 1)
  if qos == 1 then
    send(client, packet(PUBACK, 0, id))
  end
end

handlers[SUBSCRIBE] = function(client, _, body)
  local answer, at, fresh = body:sub(1, 2), 3, {}
  repeat
    local filter, qos
    filter, at = text(body, at)
    qos, at = string.unpack("B", body, at)
    if qos > 2 then violation("a subscription of QoS " .. qos) end
    local is_taken = is_filter(filter) and #client.filters < FILTERS_MAX
    if is_taken then
      fresh[#fresh + 1] = { text = filter, levels = levels(filter) }
      client.filters = with(but(client.filters, filter), fresh[#fresh])
    end
    answer = answer .. (is_taken and "\0" or "\x80")
  until at > #body
  send(client, packet(SUBACK, 0, answer))
  for _, entry in ipairs(retained) do
    if wants(fresh, entry.levels) then
      send(client, publication(entry.topic, entry.payload, 1))
    end
  end
end

handlers[UNSUBSCRIBE] = function(client, _, body)
  local at = 3
  repeat
    local filter
    filter, at = text(body, at)
    client.filters = but(client.filters, filter)
  until at > #body
  send(client, packet(UNSUBACK, 0, body:sub(1, 2)))
end

handlers[PINGREQ] = function(client)
  send(client, packet(PINGRESP, 0, ""))
end

-- Takes CONNECT [3.1] and answers it; nothing where the client was refused.
local function greet(conn)
  local kind, flags, body = read_packet(conn, PACKET_S)
  if kind ~= CONNECT or flags ~= 0 then violation("something before CONNECT") end
  local name, level, bits, alive, at = string.unpack(">s2BBI2", body)
  local has_will = bits & 4 ~= 0
  if name ~= "MQTT" or bits & 1 ~= 0 or bits & 0x18 == 0x18 or not has_will and bits & 0x38 ~= 0 then
    violation("a CONNECT of another protocol")
  end
  local client = { conn = conn, filters = {}, queue = {}, queued = 0 }
  client.id, at = text(body, at)
  if has_will then
    local topic, payload
    topic, at = text(body, at)
    payload, at = string.unpack(">s2", body, at)
    client.will = is_topic(topic) and { topic, payload, bits & 0x20 ~= 0 } or violation("a will to " .. topic)
  end
  local refusal = level ~= 4 and "\0\1" or client.id == "" and bits & 2 == 0 and "\0\2"
  conn:write(packet(CONNACK, 0, refusal or "\0\0"), WRITE_S)
  -- It may be silent for one and a half of what it said [3.1.2.10].
  client.timeout = alive > 0 and alive * 1.5 or nil
  return not refusal and client or nil
end

local function serve(client)
  for _, other in ipairs(clients) do
    if other.id == client.id and client.id ~= "" then
      other.conn:close() -- the same client again [3.1.4]
    end
  end
  clients = with(clients, client)
  while true do
    local kind, flags, body = read_packet(client.conn, client.timeout)
    if kind == DISCONNECT then client.will = nil end
    if kind == nil or kind == DISCONNECT then return end
    if not handlers[kind] or flags ~= (flags_of[kind] or flags) then
      violation("packet " .. kind .. " with flags " .. flags)
    end
    handlers[kind](client, flags, body)
  end
end

local listener = listenTcp(LISTEN, function(conn)
  local greeted, client = pcall(greet, conn)
  local served, why = greeted, client
  if greeted and client then
    served, why = pcall(serve, client)
    clients = without(clients, client)
    conn:close()
    if client.will then
      take(table.unpack(client.will))
    end
  end
  if not served then
    logit("mqtt: " .. conn.peer .. ": " .. tostring(why))
  end
end)

-- Where the broker listens: for tests, which have it on any free port, and for the curious.
function api_mqttAddress(env)
  return listener:address()
end

on("push." .. APP, function(user, msg)
  local is_list = type(user) == "table"
  if is_list and user[2] == OURS then return end
  for name in (is_list and table.concat(user, ",") or user):gmatch("[^,]+") do
    local topic = name:gsub("\\(.)", "%1")
    -- Not to those who are meant by a pattern: that is no topic.
    if is_topic(topic) and not name:gsub("\\.", ""):find("[%*%?%[]") then
      publish(topic, msg)
    end
  end
end)
