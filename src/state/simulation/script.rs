//! What peers ask, at random: calls, long polls, WebSocket messages, right and wrong.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::peer::{Msg, Op, Peer, Script, Shape, Want};
use super::wire::{Rng, frame};
use crate::proto::deflate::Deflate;

/// What requests are made from.
pub struct World<'w> {
    pub rng: &'w mut Rng,
    pub msgs: &'w mut Vec<Msg>,
    pub max_body: usize,
    pub heavy: bool,
}

impl World<'_> {
    fn app(&mut self) -> String {
        self.rng.pick(&["a0", "a0", "a0", "a1"]).to_owned()
    }

    fn user(&mut self) -> String {
        format!("g{}/u{}", self.rng.below(4), self.rng.below(7))
    }

    fn spec(&mut self) -> Vec<String> {
        match self.rng.below(if self.heavy { 40 } else { 39 }) {
            0..12 => vec![self.user()],
            12..18 => (0..=self.rng.below(4)).map(|_| self.user()).collect(),
            18..24 => vec!["*".into()],
            24..30 => vec![format!("g{}/*", self.rng.below(4))],
            30..35 => vec!["g?/u[1-3]".into(), self.user(), "*5".into()],
            35..37 => vec!["nobody".into()],
            37..39 => vec!["*".into(), "g*".into(), "*u[!2]".into()],
            _ => (0..900).map(|i| format!("?{}/*u?", i % 7)).collect(),
        }
    }

    fn msg(&mut self, owner: usize, refers: bool, forbidden: bool) -> u32 {
        let id = self.msgs.len() as u32;
        let mut text = format!("m{id}:");
        match self.rng.below(20) {
            0..2 => text
                .extend((0..260 + self.rng.below(1_500)).map(|i| (b'a' + (i % 7) as u8) as char)),
            2..4 => {
                let len = self.rng.below(600);
                text.extend((0..len).map(|_| (b'a' + self.rng.below(26) as u8) as char));
            }
            _ => text.extend((0..self.rng.below(20)).map(|_| 'x')),
        }
        if refers {
            text.push('#');
        }
        let (app, spec) = (self.app(), self.spec());
        self.msgs.push(Msg {
            owner,
            end: u64::MAX,
            app,
            spec,
            text,
            refers,
            suffix: None,
            forbidden,
            done: None,
            took: Vec::new(),
        });
        id
    }

    /// `{app, user, msg}` of a message, as a list or as text.
    fn json(&mut self, id: u32) -> Value {
        let list = self.rng.chance(30);
        let msg = &self.msgs[id as usize];
        let user = if list {
            json!(msg.spec)
        } else {
            json!(msg.spec.join(","))
        };
        let text = if msg.refers {
            format!("{}{{$1}}", msg.text)
        } else {
            msg.text.clone()
        };
        json!({"app": msg.app, "user": user, "msg": text})
    }
}

impl Peer {
    /// Makes the next request.
    pub fn make(&mut self, me: usize, world: &mut World<'_>) {
        let begun = world.msgs.len();
        match self.script {
            Script::Over => return,
            Script::WebSocket { inited } if self.made > 0 => self.make_message(me, world, inited),
            Script::WebSocket { .. } => self.make_upgrade(world),
            Script::Poller if world.rng.chance(80) => {
                let (app, user) = (world.app(), world.user());
                let timeout = world.rng.pick(&[
                    "",
                    "&timeout=0.05",
                    "&timeout=2",
                    "&timeout=30",
                    "&timeout=0",
                ]);
                let bytes = format!(
                    "GET /getMsg?app={app}&user={user}{timeout} HTTP/1.1\r\nHost: s\r\n\r\n"
                );
                self.add(bytes.as_bytes(), Want::Poll(app, user));
            }
            Script::Caller | Script::Poller => self.make_call(me, world),
        }
        let end = self.made;
        world.msgs[begun..].iter_mut().for_each(|msg| msg.end = end);
    }

    fn make_upgrade(&mut self, world: &mut World<'_>) {
        let offer = match world.rng.chance(60) {
            true => "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
            false => "",
        };
        let bytes = format!(
            "GET /ws HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        );
        self.add(bytes.as_bytes(), Want::Upgrade);
    }

    fn make_call(&mut self, me: usize, world: &mut World<'_>) {
        match world.rng.below(40) {
            0..10 => {
                let id = world.msg(me, false, false);
                let msg = &world.msgs[id as usize];
                let (user, text) = (enc(&msg.spec.join(",")), enc(&msg.text));
                if user.len() + text.len() < 4_000 && world.rng.chance(50) {
                    let target = format!("/push?app={}&user={user}&msg={text}", msg.app);
                    self.request(
                        world,
                        "GET",
                        &target,
                        "",
                        b"",
                        Want::Call(Shape::One, vec![Some(id)]),
                    );
                } else {
                    let body = format!("app={}&user={user}&msg={text}", msg.app);
                    let want = Want::Call(Shape::One, vec![Some(id)]);
                    self.request(world, "POST", "/push", FORM, body.as_bytes(), want);
                }
            }
            10..16 => self.make_list(me, world),
            16..22 => self.make_batch(me, world),
            22..25 => {
                let app = world.app();
                let target = format!("/getUsers?app={app}");
                self.request(world, "GET", &target, "", b"", Want::Users(app));
            }
            25..27 => {
                let target = world.rng.pick(&[
                    "/stat",
                    "/statHistory",
                    "/metrics",
                    "/logTail?limit=3",
                    "/getApps?match=a*",
                    "/getSettings",
                ]);
                self.request(world, "GET", target, "", b"", Want::Status(200));
            }
            27 => {
                let set = world.rng.pick(&[
                    "max_queue=0",
                    "max_queue=3000",
                    "full_queue=drop",
                    "full_queue=close",
                    "deflate=0",
                    "deflate=1",
                    "ping_interval=1",
                    "nothing=1",
                    "jdserver_log_ws=1",
                    "max_rate=0",
                ]);
                let target = format!("/conf?conf_{set}");
                self.request(world, "GET", &target, "", b"", Want::Status(200));
            }
            28..30 => {
                let target = world.rng.pick(&["/", "/a.js", "/x/y.css"]);
                self.request(world, "GET", target, "", b"", Want::File);
            }
            30 => self.request(world, "GET", "/reload", "", b"", Want::Status(200)),
            31 => self.request(world, "GET", "/unknown?x=1", "", b"", Want::Status(200)),
            32 => {
                self.request(world, "HEAD", "/push?app=a0", "", b"", Want::Status(200));
                if let Some(op) = self.ops.back_mut() {
                    op.head = true;
                }
            }
            33 => self.request(
                world,
                "OPTIONS",
                "/push",
                "Origin: http://o\r\nAccess-Control-Request-Method: POST\r\n",
                b"",
                Want::Status(200),
            ),
            34 => {
                let body = vec![b'x'; world.max_body + 1 + world.rng.below(500)];
                self.request(world, "POST", "/push", FORM, &body, Want::Status(200));
            }
            35 if world.rng.chance(40) => {
                let bad = world.rng.pick(&["GET / HTTP/1.1\r\n\r\n", "GET /\x01 HTTP/1.1\r\nHost: s\r\n\r\n", "BAD\n\n", "POST /push HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]);
                self.add(bad.as_bytes(), Want::Status(400)).closes = true;
                self.script = Script::Over;
            }
            36 => self.request(world, "GET", "/getMsg?app=a0", "", b"", Want::Status(200)),
            37 if world.rng.chance(30) => {
                self.make_upgrade(world);
                self.script = Script::WebSocket { inited: false };
            }
            _ => self.request(
                world,
                "POST",
                "/push",
                FORM,
                b"app=a0&user=u",
                Want::Status(200),
            ),
        }
    }

    fn make_list(&mut self, me: usize, world: &mut World<'_>) {
        let bad = world.rng.chance(10);
        let heavy = world.heavy && world.rng.chance(10);
        let mut items: Vec<Option<u32>> = Vec::new();
        let mut list: Vec<Value> = Vec::new();
        for _ in 0..1 + world.rng.below(5) {
            let id = world.msg(me, false, false);
            list.push(world.json(id));
            items.push(Some(id));
            if heavy {
                for _ in 0..700 {
                    list.push(json!({"app": "a0", "user": "no", "msg": "x"}));
                    items.push(None);
                }
            }
        }
        if bad {
            list.push(json!({"app": "a0"}));
            items.push(None);
            let id = world.msg(me, false, true);
            list.push(world.json(id));
        }
        let want = Want::Call(Shape::List { bad }, items);
        self.request(
            world,
            "POST",
            "/push",
            JSON,
            Value::Array(list).to_string().as_bytes(),
            want,
        );
    }

    fn make_batch(&mut self, me: usize, world: &mut World<'_>) {
        let trans = world.rng.chance(20);
        let (mut failed, mut items, mut calls) = (false, Vec::new(), Vec::new());
        for at in 0..1 + world.rng.below(5) {
            match world.rng.below(8) {
                0 if at > 0 => {
                    calls.push(json!({"ac": "unknown"}));
                    items.push(None);
                    failed |= trans;
                }
                1 if at > 0 => {
                    calls.push(json!({"ac": "getUsers", "get": {"app": "a0"}}));
                    items.push(None);
                }
                2 if at > 0 && world.rng.chance(60) => {
                    // Both wait for another thread.
                    calls.push(match world.rng.chance(50) {
                        true => json!({"ac": "reload"}),
                        false => json!({"ac": "setTimeout", "post": {"url": "http://h/"}}),
                    });
                    items.push(None);
                    // It may fail, which ends a transaction.
                    if trans {
                        break;
                    }
                }
                3 if at > 0 => {
                    let id = world.msg(me, true, failed);
                    calls.push(json!({"ac": "push", "post": world.json(id), "ref": ["msg"]}));
                    items.push(Some(id).filter(|_| !failed));
                }
                _ => {
                    let id = world.msg(me, false, failed);
                    let name = world.rng.pick(&["get", "post"]);
                    calls.push(json!({"ac": "push", name: world.json(id)}));
                    items.push(Some(id).filter(|_| !failed));
                }
            }
        }
        if world.heavy && world.rng.chance(10) {
            let push = json!({"ac": "push", "post": {"app": "a0", "user": "no", "msg": "x"}});
            items.resize(990, None);
            calls.resize(990, push);
        }
        let target = if trans { "/batch?useTrans=1" } else { "/batch" };
        let body = Value::Array(calls).to_string();
        self.request(
            world,
            "POST",
            target,
            JSON,
            body.as_bytes(),
            Want::Call(Shape::Batch, items),
        );
    }

    fn request(
        &mut self,
        world: &mut World<'_>,
        method: &str,
        target: &str,
        extra: &str,
        body: &[u8],
        want: Want,
    ) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: s\r\n{extra}");
        let closes = world.rng.chance(3);
        let expects = !body.is_empty() && world.rng.chance(5);
        if closes {
            head.push_str("Connection: close\r\n");
        }
        if expects {
            head.push_str("Expect: 100-continue\r\n");
        }
        let mut bytes;
        if !body.is_empty() && world.rng.chance(25) {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            bytes = head.into_bytes();
            let mut rest = body;
            while !rest.is_empty() {
                let (chunk, left) = rest.split_at(1 + world.rng.below(rest.len()));
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
                rest = left;
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
            bytes = head.into_bytes();
            bytes.extend_from_slice(body);
        }
        if body.len() > world.max_body {
            if let Want::Call(_, items) = &want {
                for id in items.iter().flatten() {
                    world.msgs[*id as usize].forbidden = true;
                }
            }
            let op = self.add(&bytes, Want::Status(413));
            (op.closes, op.expects) = (true, expects);
            self.script = Script::Over;
            return;
        }
        let op = self.add(&bytes, want);
        (op.closes, op.expects) = (closes, expects);
        if closes {
            self.script = Script::Over;
        }
    }

    fn make_message(&mut self, me: usize, world: &mut World<'_>, inited: bool) {
        const REQUIRE: Want = Want::Fatal(Some("*** error: require init"), 1000);
        let need = |want| if inited { want } else { REQUIRE };
        match world.rng.below(if inited { 32 } else { 10 }) {
            0..3 => self.make_init(world),
            3..9 if !inited => self.make_init(world),
            3..18 if inited => {
                let id = world.msg(me, false, false);
                let mut text = world.json(id);
                text["ac"] = json!("push");
                self.text(
                    world,
                    &text.to_string(),
                    Want::Call(Shape::WebSocket, vec![Some(id)]),
                );
            }
            18..21 => self.text(world, r#"{"ac":"alive"}"#, need(Want::Text("OK"))),
            21..23 => {
                let payload = vec![b'p'; world.rng.below(126)];
                let bytes = frame(world.rng, 0x89, &payload);
                self.add(&bytes, Want::Pong(payload));
            }
            23..25 => self.say(world.rng, 0x8a, b""),
            25 => self.text(
                world,
                r#"{"ac":"push","app":"a0","user":"x"}"#,
                need(Want::Error),
            ),
            26 => self.text(world, "[1]", need(Want::Text("OK"))),
            27 if world.rng.chance(30) => {
                let bytes = frame(world.rng, 0x88, &1000u16.to_be_bytes());
                self.add(&bytes, Want::CloseBack(1000));
                self.script = Script::Over;
            }
            28 if world.rng.chance(30) => {
                self.text(
                    world,
                    "hello",
                    Want::Fatal(Some("*** require json data. but recv: hello"), 1007),
                );
                self.script = Script::Over;
            }
            29 if world.rng.chance(30) => {
                let first = world.rng.pick(&[0x83, 0xb1, 0x80, 0x09]);
                let bytes = frame(world.rng, first, b"x");
                self.add(&bytes, Want::Fatal(None, 1002));
                self.script = Script::Over;
            }
            30 if world.rng.chance(30) => {
                let text = "x".repeat(world.max_body + 1);
                self.text(world, &text, Want::Error);
            }
            _ => self.text(world, r#"{"ac":"alive"}"#, need(Want::Text("OK"))),
        }
        if !inited
            && matches!(
                self.ops.back(),
                Some(Op {
                    want: Want::Fatal(..),
                    ..
                })
            )
        {
            self.script = Script::Over;
        }
    }

    fn make_init(&mut self, world: &mut World<'_>) {
        let (app, user) = (world.app(), world.user());
        let text = json!({"ac": "init", "app": app, "user": user}).to_string();
        self.text(world, &text, Want::Init(app, user));
        if self.script != Script::Over {
            self.script = Script::WebSocket { inited: true };
        }
    }

    /// A message: whole, in fragments or compressed.
    fn text(&mut self, world: &mut World<'_>, text: &str, mut want: Want) {
        if text.len() > world.max_body {
            if let Want::Call(_, items) = &want {
                for id in items.iter().flatten() {
                    world.msgs[*id as usize].forbidden = true;
                }
            }
            want = Want::Fatal(None, 1009);
            self.script = Script::Over;
        }
        let mut first = 0x81;
        let mut payload = text.as_bytes().to_vec();
        if self.reader.deflate
            && world.rng.chance(40)
            && let Some(smaller) = Deflate::default().compress(&payload)
        {
            (first, payload) = (0xc1, smaller);
        }
        if world.rng.chance(25) && payload.len() > 2 {
            let cut = world.rng.below(payload.len());
            let mut bytes = frame(world.rng, first & 0x7f, &payload[..cut]);
            if world.rng.chance(30) {
                bytes.extend(frame(world.rng, 0x8a, b"between"));
            }
            bytes.extend(frame(world.rng, 0x80, &payload[cut..]));
            self.add(&bytes, want);
        } else {
            let bytes = frame(world.rng, first, &payload);
            self.add(&bytes, want);
        }
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

fn enc(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b":/*,".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
