-- A small MQTT 3.1.1 broker (QoS 0) as a plugin, bridged to push: what is published to a topic is pushed to the users of
-- app `mqtt` whose name is the topic, and what is pushed to app `mqtt` is published to the topic that it names.
-- Source: OASIS MQTT Version 3.1.1. Not there: QoS 1 and 2, sessions that survive a connection, passwords.

local CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK = 1, 2, 3, 8, 9
local UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14
local PACKET_BYTES_MAX = 65536
local APP = "mqtt"

local clients = {} -- by connection: { conn, filters = { [filter] = true }, queue, is_writing }
local retained = {} -- by topic
local retained_count, RETAINED_MAX = 0, 1000

local function packet(kind, flags, body)
  local length, header = #body, { string.char(kind << 4 | flags) }
  repeat
    local byte = length & 127
    length = length >> 7
    header[#header + 1] = string.char(length > 0 and byte | 128 or byte)
  until length == 0
  return table.concat(header) .. body
end

local function publication(topic, payload, retain)
  return packet(PUBLISH, retain and 1 or 0, string.pack(">s2", topic) .. payload)
end

-- One packet: kind, flags and body; nil where the connection is over.
local function read_packet(conn, timeout)
  local first = conn:read(1, timeout)
  if not first then
    return nil
  end
  local length, shift = 0, 0
  repeat
    local byte = conn:read(1, 10)
    if not byte or shift > 21 then
      return nil
    end
    length = length | (byte:byte() & 127) << shift
    shift = shift + 7
  until byte:byte() < 128
  if length > PACKET_BYTES_MAX then
    return nil
  end
  local body = length > 0 and conn:read(length, 30) or ""
  if #(body or "") < length then
    return nil
  end
  return first:byte() >> 4, first:byte() & 15, body
end

-- Topics and filters by their levels, empty ones too.
local function levels(topic)
  local list = {}
  for level in (topic .. "/"):gmatch("([^/]*)/") do
    list[#list + 1] = level
  end
  return list
end

local function matches(filter, topic)
  local wanted, given = levels(filter), levels(topic)
  -- 4.7.2: wildcards do not match topics of the server's own.
  if topic:sub(1, 1) == "$" and (wanted[1] == "+" or wanted[1] == "#") then
    return false
  end
  for at, level in ipairs(wanted) do
    if level == "#" then
      return true
    end
    if given[at] == nil or (level ~= "+" and level ~= given[at]) then
      return false
    end
  end
  return #wanted == #given
end

local function is_filter(filter)
  local list = levels(filter)
  for at, level in ipairs(list) do
    local has_wildcard = level:find("[+#]") ~= nil
    if has_wildcard and #level > 1 or level == "#" and at < #list then
      return false
    end
  end
  return #filter > 0
end

-- Packets of one client leave in order: one coroutine writes, others queue.
local function send(client, bytes)
  if #client.queue >= 1000 then
    return client.conn:close() -- it does not read
  end
  client.queue[#client.queue + 1] = bytes
  if client.is_writing then
    return
  end
  client.is_writing = true
  while #client.queue > 0 do
    local batch = table.concat(client.queue)
    client.queue = {}
    if not client.conn:write(batch, 30) then
      client.conn:close()
      break
    end
  end
  client.is_writing = false
end

local function publish(topic, payload)
  local bytes = publication(topic, payload)
  for _, client in pairs(clients) do
    for filter in pairs(client.filters) do
      if matches(filter, topic) then
        safeGo(function()
          send(client, bytes)
        end)
        break
      end
    end
  end
end

local handlers = {}

handlers[SUBSCRIBE] = function(client, flags, body)
  if flags ~= 2 then
    return false
  end
  local id, at = string.unpack(">I2", body)
  local codes, fresh = {}, {}
  while at <= #body do
    local filter
    filter, at = string.unpack(">s2", body, at)
    at = at + 1 -- the QoS that is asked for; granted is 0
    if is_filter(filter) then
      client.filters[filter] = true
      fresh[#fresh + 1] = filter
      codes[#codes + 1] = "\0"
    else
      codes[#codes + 1] = "\x80"
    end
  end
  send(client, packet(SUBACK, 0, string.pack(">I2", id) .. table.concat(codes)))
  for topic, payload in pairs(retained) do
    for _, filter in ipairs(fresh) do
      if matches(filter, topic) then
        send(client, publication(topic, payload, true))
        break
      end
    end
  end
  return true
end

handlers[UNSUBSCRIBE] = function(client, flags, body)
  if flags ~= 2 then
    return false
  end
  local id, at = string.unpack(">I2", body)
  while at <= #body do
    local filter
    filter, at = string.unpack(">s2", body, at)
    client.filters[filter] = nil
  end
  send(client, packet(UNSUBACK, 0, string.pack(">I2", id)))
  return true
end

handlers[PUBLISH] = function(_, flags, body)
  if flags & 6 ~= 0 then
    return false -- QoS 1 and 2: 3.8.4 lets a server close
  end
  local topic, at = string.unpack(">s2", body)
  if #topic == 0 or topic:find("[+#]") then
    return false
  end
  local payload = body:sub(at)
  if flags & 1 == 1 then
    local is_new = retained[topic] == nil
    if payload == "" then
      retained[topic] = nil
      retained_count = retained_count - (is_new and 0 or 1)
    elseif not is_new or retained_count < RETAINED_MAX then
      retained[topic] = payload
      retained_count = retained_count + (is_new and 1 or 0)
    end
  end
  publish(topic, payload)
  -- Users whose name is the topic; no pattern, and not back to MQTT.
  callSvcInt("push", {}, { app = APP .. "-web", user = { (topic:gsub("[%*%?%[\\]", "\\%0")) }, msg = payload })
  return true
end

handlers[PINGREQ] = function(client)
  send(client, packet(PINGRESP, 0, ""))
  return true
end

local function serve(conn)
  local kind, _, body = read_packet(conn, 10)
  if kind ~= CONNECT then
    return
  end
  local name, level, flags, alive, at = string.unpack(">s2BBI2", body)
  if name ~= "MQTT" or level ~= 4 then
    conn:write(packet(CONNACK, 0, "\0\1"), 10)
    return
  end
  local id = string.unpack(">s2", body, at)
  if id == "" and flags & 2 == 0 then
    conn:write(packet(CONNACK, 0, "\0\2"), 10)
    return
  end
  local client = { conn = conn, filters = {}, queue = {} }
  clients[conn.id] = client
  send(client, packet(CONNACK, 0, "\0\0"))
  local timeout = alive > 0 and alive * 1.5 or nil
  repeat
    local kind, flags, body = read_packet(conn, timeout)
    local handler = kind and handlers[kind]
  until not handler or not handler(client, flags, body)
end

local listener = listenTcp(getConf("conf_mqtt_listen") or "127.0.0.1:1883", function(conn)
  local ok, why = pcall(serve, conn)
  clients[conn.id] = nil
  if not ok then
    logit("mqtt: " .. conn.peer .. ": " .. tostring(why))
  end
end)

-- For tests and curious people: where the broker listens.
function api_mqttAddress(env)
  return listener:address()
end

on("push." .. APP, function(user, msg)
  for topic in (type(user) == "table" and table.concat(user, ",") or user):gmatch("[^,]+") do
    publish(topic, msg)
  end
end)
