-- Handlers of app `shop`: they answer by what they push.
on("open.shop", function(ws, frame)
  ws:push(frame.fd, { welcome = frame.user })
end)

on("message.shop", function(ws, frame)
  local req = frame.req
  if req and req.ac == "bye" then
    return ws:disconnect(frame.fd, 4001, "bye")
  end
  if req and req.ac == "slow" then
    sleep(10)
  end
  pushMsg("shop", frame.user, { echo = req and req.text or frame.data })
end)

on("push.shop", function(user, msg)
  logit("pushed to " .. user .. ": " .. msg)
end)

on("close.shop", function(ws, frame)
  pushMsg("watch", "*", { gone = frame.user })
end)
