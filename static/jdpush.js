/*
jdPush(app, handleMsg, opt): receives what a jdserver pushes, and comes back by itself.
接收 jdserver 推送的消息，断线自动重连。One plain script, ES2015, nothing beside it.

- app: the name that is pushed to. 应用名，与推送时一致。
- handleMsg(msg, ws): called with every message; without it they go to the console. 收到消息时回调；不给则打印到控制台。
- opt.user: who we are. Default: g_data.userInfo.id, else a name by chance. 用户，默认 g_data.userInfo.id，否则随机。
- opt.url: where the daemon is, default "/jdserver"; a path, //host/path, or a URL (ws, wss, http, https). 地址。
- opt.dataType: "json" (default): objects and lists, parsed; "text": everything as text. 默认只回调 JSON 对象和数组。
- opt.keepAliveInterval: seconds between keep-alive messages, default 60, 0: none. 保活间隔（秒）。
- opt.token: where the server has one. 服务器设置了 token 时使用。
- opt.poll: true: long poll only; false: never; default: where WebSocket is missing or fails. 长轮询：默认在 WebSocket 不可用时使用。
- opt.retryInterval: seconds, at most, of the first wait before it comes back, default 2; each further one is twice as long. 首次重连的最长等待（秒）。
- opt.onState(state): "connecting", "open", "polling", "waiting" or "closed". 状态变化时回调。

Gives {send, stop, close, state}. send(textOrObject) is false while nobody takes it; by long poll it takes pushes only.
stop() ends it (close() is the same).

	var ws = jdPush("app1", function (msg, ws) { console.log(msg); }, {user: "100"});
	ws.send({ac: "push", app: "app1", user: "101", msg: {id: 1}});
*/
function jdPush(app, handleMsg, opt) {
  "use strict";
  const POLL_S = 50; // below the 60 s after which proxies give up
  const RETRY_S = 30;
  const TRIES_BEFORE_POLL = 2;
  const POLL_MS_BEFORE_TRY = 300000;

  opt = Object.assign({ url: "/jdserver", dataType: "json", keepAliveInterval: 60, retryInterval: 2 }, opt);
  if (opt.user == null) opt.user = knownUser();
  const address = addressOf(opt.url);

  let socket = null, abort = null, retryTimer = null, aliveTimer = null;
  let failed = 0; // attempts in a row that ended without a word from the server
  let refused = 0; // WebSockets among them that did not even open
  let reached = false; // by a poll since
  const client = { send: send, stop: stop, close: stop, state: "" };
  if (typeof addEventListener === "function") addEventListener("online", hurry);
  next();
  return client;

  function knownUser() {
    const info = typeof g_data === "object" && g_data && g_data.userInfo;
    return info && info.id || "jduser-" + Math.floor(Math.random() * 10000);
  }

  // {ws, http}: where to connect, and the folder of calls.
  function addressOf(text) {
    const here = typeof location === "object" ? location : null;
    if (here && /^\/(?!\/)/.test(text)) {
      // Sites below /@name have their own daemon there.
      const site = /^\/@[^/]+/.exec(here.pathname);
      if (site) text = site[0] + text;
    }
    const url = new URL(text, here ? here.href : undefined);
    url.hash = "";
    const http = new URL(url);
    http.protocol = url.protocol.replace("ws", "http");
    http.search = "";
    http.pathname = http.pathname.replace(/\/*$/, "/");
    url.protocol = url.protocol.replace("http", "ws");
    if (opt.token) url.searchParams.set("_token", opt.token);
    return { ws: url.href, http: http.href };
  }

  function setState(state) {
    if (client.state === state || client.state === "closed") return;
    client.state = state;
    if (opt.onState) opt.onState(state);
  }

  // The next attempt: a WebSocket, or a poll where those were refused too often.
  function next() {
    retryTimer = null;
    const hasSocket = typeof WebSocket === "function";
    const wantsPoll = opt.poll !== false && (opt.poll || !hasSocket || refused >= TRIES_BEFORE_POLL);
    if (wantsPoll) return poll(Date.now());
    if (!hasSocket) throw new Error("jdPush: no WebSocket here");
    connect();
  }

  // 1 to 2 s, 2 to 4 s ... 15 to 30 s: later each time, and not all clients at once.
  function retry() {
    if (client.state === "closed") return;
    const most = Math.min(RETRY_S, opt.retryInterval * Math.pow(2, failed++));
    retryTimer = setTimeout(next, 1000 * most * (0.5 + Math.random() / 2));
    setState("waiting");
  }

  function hurry() {
    if (retryTimer === null) return;
    clearTimeout(retryTimer);
    next();
  }

  function connect() {
    let opened = false, heard = false;
    const ws = socket = new WebSocket(address.ws);
    setState("connecting");
    ws.onopen = function () {
      opened = true;
      // Every connection must say who it is, the first one and each later one.
      ws.send(JSON.stringify({ ac: "init", app: app, user: opt.user }));
      if (opt.keepAliveInterval > 0) aliveTimer = setInterval(alive, opt.keepAliveInterval * 1000);
    };
    ws.onmessage = function (event) {
      if (!heard && client.state === "connecting") {
        failed = refused = 0; // it works: the waits start over
        reached = false;
        setState("open");
        heard = true;
        if (event.data === "OK") return; // of the init
      }
      heard = true;
      deliver(event.data);
    };
    ws.onclose = function (event) {
      gone(event.code);
    };

    function alive() {
      // Every message is answered: silence since the last one means that the line is dead, and its end may take minutes.
      if (!heard) return gone(1006);
      heard = false;
      ws.send('{"ac":"alive"}');
    }

    function gone(code) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      if (ws.readyState < 2) ws.close();
      clearInterval(aliveTimer);
      socket = null;
      if (!opened) refused++;
      // These two mean "do not come back"; all else, a restart too, means "come back".
      if (code === 1000 || code === 1005) return stop();
      retry();
    }
  }

  function poll(since) {
    const forced = opt.poll || typeof WebSocket !== "function";
    // Where WebSockets just failed, first a short one: perhaps it was the server that was gone, and is back.
    const seconds = forced || reached ? POLL_S : 1;
    setState("polling");
    abort = typeof AbortController === "function" ? new AbortController() : null;
    const query = "getMsg?app=" + encodeURIComponent(app) + "&user=" + encodeURIComponent(opt.user) + "&timeout=" + seconds;
    call(query, { signal: abort ? abort.signal : undefined }).then(function (text) {
      if (client.state === "closed") return;
      failed = 0;
      if (text) deliver(text);
      if (client.state === "closed") return;
      if (forced || reached && Date.now() - since < POLL_MS_BEFORE_TRY) return poll(since);
      reached = true;
      connect(); // one refusal leads back here
    }, function () {
      reached = false;
      // Nobody is there at all: whoever comes back may take WebSockets.
      refused = Math.min(refused, TRIES_BEFORE_POLL - 1);
      retry();
    });
  }

  function call(target, init) {
    if (opt.token) init.headers = Object.assign({ Authorization: "Bearer " + opt.token }, init.headers);
    return fetch(address.http + target, init).then(function (response) {
      if (!response.ok) throw new Error("HTTP " + response.status);
      return response.text();
    });
  }

  function deliver(text) {
    if (!handleMsg) return console.log(text);
    if (opt.dataType !== "json") return handleMsg(text, client);
    let msg = null;
    try { msg = JSON.parse(text); } catch (e) { /* no JSON: below */ }
    if (msg !== null && typeof msg === "object") handleMsg(msg, client);
    else if (text !== "OK") console.log(text);
  }

  function send(data) {
    if (socket && socket.readyState === 1) {
      socket.send(typeof data === "string" ? data : JSON.stringify(data));
      return true;
    }
    if (client.state !== "polling") return false;
    let msg = data;
    try { msg = typeof data === "string" ? JSON.parse(data) : data; } catch (e) { return false; }
    if (!msg || msg.ac !== "push") return false;
    const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(msg) };
    // The count comes as a message does, as over a WebSocket.
    call("push?_raw=1", init).then(function (text) { deliver(text.trim()); }, function (error) { console.log(String(error)); });
    return true;
  }

  function stop() {
    clearTimeout(retryTimer);
    clearInterval(aliveTimer);
    retryTimer = null;
    setState("closed");
    if (typeof removeEventListener === "function") removeEventListener("online", hurry);
    if (abort) abort.abort();
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
    socket = null;
  }
}
if (typeof module === "object" && module.exports) module.exports = jdPush;
