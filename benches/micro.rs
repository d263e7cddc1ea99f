//! The steps of the hot path one by one: `cargo bench --bench micro [FILTER]`.

use std::hint::black_box;
use std::mem::MaybeUninit;

use divan::counter::ItemsCount;
use divan::{Bencher, Divan};
use jdserver::call::source::Body;
use jdserver::ids::{ConnId, Now};
use jdserver::limits::HEADERS_MAX;
use jdserver::proto::form::Form;
use jdserver::proto::pattern::fnmatch;
use jdserver::proto::request;
use jdserver::proto::websocket::{Decoder, text_frame};
use jdserver::settings::Settings;
use jdserver::state::hub::{Cursor, Hub};
use jdserver::state::server::{Input, Output, Server, Setup};
use jdserver::state::spec::Spec;

const PUSH: &[u8] = b"GET /push?app=app1&user=*&msg=hello HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n";
const BROWSER: &[u8] = b"POST /push?app=app1 HTTP/1.1\r\nHost: push.example.com\r\nConnection: keep-alive\r\nContent-Length: 42\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept: */*\r\nOrigin: https://www.example.com\r\nReferer: https://www.example.com/page/index.html\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";
const FORM: &[u8] = b"app=app1&user=group1%2Fuser1,user2&msg=hello+w%C3%B6rld&_raw=1";
const BRACKETS: &[u8] = b"app=app1&user=u&msg[id]=100&msg[list][]=a&msg[list][]=b&msg[name]=x";
const JSON: &[u8] = br#"{"app":"app1","user":"group1/*","msg":{"id":100,"type":"order","text":"hello, world","list":[1,2,3]}}"#;

fn main() {
    // Under `cargo test --benches` there is nothing to measure.
    if std::env::args().any(|arg| arg == "--bench") {
        Divan::from_args().main();
    }
}

#[divan::bench(args = ["curl", "browser"])]
fn request_head(bencher: Bencher, from: &str) {
    let head = if from == "curl" { PUSH } else { BROWSER };
    bencher.bench(|| {
        let head = black_box(head);
        let end = request::find_end(head, 0, 32 << 10);
        let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let parsed = request::parse(head, &mut slots).map(|head| head.path.len());
        (end, parsed)
    });
}

#[divan::bench(args = ["pairs", "brackets"])]
fn form(bencher: Bencher, kind: &str) {
    let text = if kind == "pairs" { FORM } else { BRACKETS };
    bencher.bench(|| black_box(Form::parse(black_box(text))).is_empty());
}

#[divan::bench]
fn json_body() -> bool {
    Body::parse("application/json", black_box(JSON)).is_ok()
}

/// A client's text frame, masked.
fn client_frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0x81];
    match len {
        ..=125 => frame.push(0x80 | len as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[1, 2, 3, 4]);
    frame.extend((0..len).map(|i| b'x' ^ [1, 2, 3, 4][i % 4]));
    frame
}

#[divan::bench(args = [16, 100, 4_000])]
fn frame_decode(bencher: Bencher, len: usize) {
    let frame = client_frame(len);
    bencher
        .with_inputs(|| (Decoder::default(), frame.clone()))
        .bench_refs(|(decoder, frame)| {
            let event = decoder.poll_event(frame, 1 << 20, None);
            event.map(|(used, event)| (used, event.is_some()))
        });
}

#[divan::bench(args = [16, 100, 4_000])]
fn frame_encode(bencher: Bencher, len: usize) {
    let payload = vec![b'x'; len];
    bencher.bench(|| text_frame(black_box(&payload)));
}

#[divan::bench(args = ["group1/*", "*user*", "[a-z]*[0-9]", "*a*a*a*b"])]
fn pattern(pattern: &str) -> bool {
    fnmatch(black_box(pattern), black_box("group1/user100aaaaaaaa7"))
}

/// A push's selection: a name, ten names below a prefix, everyone (per member, in a second row).
#[divan::bench(args = [("u777", 100), ("u777", 100_000), ("u77*", 100_000)])]
fn select(bencher: Bencher, (spec, users): (&str, u32)) {
    let mut hub = hub(users);
    let spec = Spec::Text(spec.into());
    let mut selected = Vec::new();
    bencher.bench_local(|| {
        selected.clear();
        let (mut cursor, mut budget) = (Cursor::default(), u32::MAX);
        let done = hub.select("app1", &spec, &mut cursor, &mut budget, &mut selected);
        (done, selected.len())
    });
}

#[divan::bench(args = [100, 100_000])]
fn select_all(bencher: Bencher, users: u32) {
    let mut hub = hub(users);
    let mut selected = Vec::new();
    bencher.counter(ItemsCount::new(users)).bench_local(|| {
        selected.clear();
        let (mut cursor, mut budget) = (Cursor::default(), u32::MAX);
        let spec = Spec::Text("*".into());
        hub.select("app1", &spec, &mut cursor, &mut budget, &mut selected)
    });
}

fn hub(users: u32) -> Hub {
    let mut hub = Hub::default();
    for key in 0..users {
        hub.join(key, "app1", &format!("u{key}"), false);
    }
    hub
}

/// A server without sockets, and peers that read everything at once.
struct World {
    server: Server<()>,
    now: Now,
}

impl World {
    fn new(receivers: usize) -> (World, ConnId) {
        let now = Now {
            mono_ms: 0,
            unix_ms: 1_795_000_000_000,
        };
        let setup = Setup {
            settings: Settings::default(),
            connections_max: 200_000,
            static_on_disk: false,
            plugins: None,
            zone: jiff::tz::TimeZone::UTC,
            now,
        };
        let mut world = World {
            server: Server::new(setup),
            now,
        };
        for i in 0..receivers {
            let id = world.accept();
            world.send(id, b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
            let init = format!("{{\"ac\":\"init\",\"app\":\"app1\",\"user\":\"u{i}\"}}");
            let mut frame = vec![0x81, 0x80 | init.len() as u8, 0, 0, 0, 0];
            frame.extend_from_slice(init.as_bytes());
            world.send(id, &frame);
        }
        let caller = world.accept();
        (world, caller)
    }

    fn accept(&mut self) -> ConnId {
        self.server.accept((), None).expect("within the caps")
    }

    /// Hands in bytes and takes everything out, in as many turns as that needs.
    fn send(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let mut sent = 0;
        let mut buffer = bytes.to_vec();
        self.server.begin_turn(self.now);
        self.server.handle(Input::Bytes(id, &mut buffer));
        loop {
            while let Some(output) = self.server.poll_output() {
                if let Output::Transmit(id, bytes_max) = output
                    && let Some(conn) = self.server.connection(id)
                {
                    let waiting = conn.outbound.bytes().min(bytes_max);
                    sent += waiting;
                    self.server.advance(id, waiting);
                }
            }
            if self.server.poll_timeout() != Some(self.now.mono_ms) {
                return sent;
            }
            self.server.begin_turn(self.now);
        }
    }
}

/// A whole HTTP call, bytes in to bytes out, and what it pushes.
#[divan::bench(args = [0, 1, 1_000])]
fn http_push(bencher: Bencher, receivers: usize) {
    let (mut world, caller) = World::new(receivers);
    bencher
        .counter(ItemsCount::new(receivers.max(1)))
        .bench_local(|| world.send(caller, PUSH));
}

/// A whole round trip over WebSocket: `alive` and its `OK`.
#[divan::bench]
fn websocket_round_trip(bencher: Bencher) {
    let (mut world, _) = World::new(1);
    let receiver = ConnId {
        key: 0,
        generation: 1,
    };
    let mut frame = vec![0x81, 0x80 | 14, 0, 0, 0, 0];
    frame.extend_from_slice(br#"{"ac":"alive"}"#);
    assert!(world.send(receiver, &frame) > 0, "it answers");
    bencher.bench_local(|| world.send(receiver, &frame));
}

/// Lua of plugins in its sandbox, beside a plain state.
#[cfg(feature = "lua")]
mod lua {
    use std::time::Duration;

    use divan::Bencher;
    use jdserver::plugin::{Modules, Sandbox, SandboxLimits, Step};
    use mlua::{Lua, MultiValue};

    /// Each is a thousand of what it is named after.
    const SNIPPETS: [(&str, &str); 6] = [
        ("additions", "local x = 0 for i = 1, 1000 do x = x + i end"),
        (
            "calls",
            "local function f(a) return a end for i = 1, 1000 do f(i) end",
        ),
        (
            "matches",
            "for i = 1, 1000 do local k, v = ('key=value'):match('(%w+)=(%w+)') end",
        ),
        (
            "gsubs",
            "local t = {['<'] = '&lt;'} for i = 1, 1000 do ('a<b'):gsub('[<>&]', t) end",
        ),
        (
            "inserts",
            "local t = {} for i = 1, 1000 do table.insert(t, i) end",
        ),
        ("pcalls", "for i = 1, 1000 do pcall(type, i) end"),
    ];

    fn sandbox() -> Sandbox {
        let limits = SandboxLimits {
            memory_bytes: 64 << 20,
            slice: Duration::from_secs(60),
            compute: Duration::from_secs(3_600),
        };
        let sandbox = Sandbox::new(limits, Modules::default(), |_| {}).expect("memory");
        sandbox.set_loading(false).expect("set");
        sandbox
    }

    fn source(name: &str) -> &'static str {
        let found = SNIPPETS.iter().find(|(known, _)| *known == name);
        found.expect("known").1
    }

    #[divan::bench(args = SNIPPETS.map(|(name, _)| name))]
    fn in_sandbox(bencher: Bencher, name: &str) {
        let sandbox = sandbox();
        let function = sandbox.load(name, source(name).as_bytes()).expect("loads");
        bencher.bench_local(|| {
            let mut task = sandbox.task(&function).expect("memory");
            matches!(
                sandbox.resume(&mut task, Ok(MultiValue::new())),
                Step::Done(_)
            )
        });
    }

    #[divan::bench(args = SNIPPETS.map(|(name, _)| name))]
    fn plain(bencher: Bencher, name: &str) {
        let lua = Lua::new();
        let function = lua.load(source(name)).into_function().expect("loads");
        bencher.bench_local(|| function.call::<()>(()));
    }

    /// A task from its beginning to its end.
    #[divan::bench]
    fn task(bencher: Bencher) {
        let sandbox = sandbox();
        let function = sandbox.load("task", b"return 1").expect("loads");
        bencher.bench_local(|| {
            let mut task = sandbox.task(&function).expect("memory");
            matches!(
                sandbox.resume(&mut task, Ok(MultiValue::new())),
                Step::Done(_)
            )
        });
    }

    /// From one wait of a task to the next: directly, or in a coroutine of the plugin.
    #[divan::bench(args = ["task", "coroutine"])]
    fn wait(bencher: Bencher, of: &str) {
        let sandbox = sandbox();
        let wait = sandbox.waiting("wait").expect("a function");
        sandbox.lua().globals().set("wait", wait).expect("set");
        let source = match of {
            "task" => "while true do wait() end",
            _ => "coroutine.wrap(function() while true do wait() end end)()",
        };
        let function = sandbox.load(of, source.as_bytes()).expect("loads");
        let mut task = sandbox.task(&function).expect("memory");
        bencher.bench_local(|| {
            matches!(
                sandbox.resume(&mut task, Ok(MultiValue::new())),
                Step::Waits { .. }
            )
        });
    }
}
