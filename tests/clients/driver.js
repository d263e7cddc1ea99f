// Runs static/jdpush.js for a test: node driver.js FILE APP OPTIONS [none|CODE]. Prints "state STATE" and "msg MESSAGE"
// for what happens, and takes "send TEXT" and "stop" by lines. The last argument: without WebSocket,
// or with one that does not open but closes with a code.
"use strict";
const [file, app, options, sockets] = process.argv.slice(2);
if (sockets === "none") delete globalThis.WebSocket;
if (/^\d+$/.test(sockets)) {
  globalThis.WebSocket = class {
    constructor() {
      this.readyState = 3;
      setTimeout(() => this.onclose({ code: Number(sockets) }), 1);
    }
  };
}
const jdPush = require(file);
const print = (kind, text) => console.log(kind + " " + text);
const client = jdPush(app, (msg) => print("msg", typeof msg === "string" ? msg : JSON.stringify(msg)), {
  ...JSON.parse(options),
  onState: (state) => print("state", state),
});
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "stop") return client.stop();
  print("sent", client.send(line.slice(5)));
}).on("close", () => process.exit(0));
