//! A plugin cannot stop the daemon: attacks on the real binary, while pushes to another app and `/stat` are answered. How
//! each attack ends is in `src/plugin/attacks.rs` in more detail; here is who else notices.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::http::{Conn, ask, get, push};
use crate::common::server::{Folder, Server};
use crate::common::wait_for;
use crate::common::websocket::Ws;
use crate::shop;

/// Ends of attacks as `trace.log` tells them, the one that comes first on this machine.
const COMPUTING: &[&str] = &["too much computing"];
const MEMORY: &[&str] = &["not enough memory", "too much computing"];

/// Bodies of handlers, and how they end.
const ATTACKS: &[(&str, &str, &[&str])] = &[
    ("loop", "while true do end", COMPUTING),
    ("tail", "local function f() return f() end f()", COMPUTING),
    (
        "pcall",
        "while true do pcall(function() while true do end end) end",
        COMPUTING,
    ),
    (
        "xpcall",
        "while true do xpcall(error, function() while true do end end) end",
        COMPUTING,
    ),
    (
        "closing",
        "local t = setmetatable({}, {__close = function() while true do end end})
        while true do pcall(function() local x <close> = t error('x') end) end",
        COMPUTING,
    ),
    (
        "memory",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end",
        MEMORY,
    ),
    (
        "caught_memory",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end",
        MEMORY,
    ),
    (
        "rep",
        "local s = ('x'):rep(1 << 40)",
        &["resulting string too large"],
    ),
    (
        "patterns",
        "local s = ('a'):rep(100000) while true do pcall(s.find, s, ('a*'):rep(30) .. 'b') end",
        COMPUTING,
    ),
    (
        "finalizer",
        "setmetatable({}, {__gc = function() while true do end end})",
        &["__gc is not supported"],
    ),
    (
        "coroutines",
        "local function f() coroutine.wrap(f)() end while true do pcall(f) end",
        COMPUTING,
    ),
    (
        "kept_coroutines",
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
        MEMORY,
    ),
    (
        "recursion",
        "local function f() return 1 + f() end f()",
        &["stack overflow", "not enough memory", "too much computing"],
    ),
    (
        "timers",
        "while true do setTimeoutLocal(0, function() end) end",
        &[
            "more than 10000 timers",
            "too much computing",
            "no end within",
        ],
    ),
    (
        "output",
        "local line = ('x'):rep(4000) while true do logit(line) end",
        // Its own end may be among the lines that the log had no room for.
        &[],
    ),
    (
        "json",
        "local e, t = {}, {} for i = 1, 1e5 do e[i] = i end for i = 1, 1e5 do e[i] = nil end
        for i = 1, 40000 do t[i] = e end while true do pcall(jsonEncode, t) end",
        COMPUTING,
    ),
    (
        "pushes",
        "local s = ('x'):rep(1 << 20) while true do pcall(pushMsg, 'nobody', '*', { s, s, s, s }) end",
        &["too much computing", "no end within"],
    ),
    (
        "rearmed",
        "local function f() setTimeoutLocal(0, f) end for i = 1, 5 do f() end error('rearmed')",
        &["rearmed"],
    ),
];

/// Handlers of app `bad`, one for each attack; a good one, and a count that all of them share.
fn plugin() -> String {
    let attacks = ATTACKS
        .iter()
        .map(|(name, body, _)| format!("attacks[{name:?}] = function()\n{body}\nend\n"));
    let attacks: String = attacks.collect();
    format!(
        "local attacks, count = {{}}, 0
        {attacks}
        on('message.bad', function(ws, frame) attacks[frame.req.ac]() end)
        function api_count(env) count = count + 1 return count end
        function api_sleepers(env)
            local function more()
                for i = 1, 1000 do safeGo(function() sleep(1e9) end) end
                setTimeoutLocal(1, more)
            end
            more()
        end"
    )
}

#[test]
fn attacks_end_and_nobody_else_notices() {
    let server = Server::setup()
        .settings("plugin_compute = 0.05\nplugin_timeout = 3")
        .file("api.lua", &plugin())
        .start();
    let mut bad = Ws::user(&server, "bad", "b");
    let mut good = Ws::user(&server, "good", "g");
    for (at, (name, _, ends)) in ATTACKS.iter().enumerate() {
        bad.send_text(&format!("{{\"ac\":{name:?}}}"));
        check_alive(&server, &mut good, name);
        assert_eq!(bad.text(), "OK", "{name}");
        let count = get(&server, "/count");
        assert_eq!(
            count,
            format!("[0,{}]\n", at + 1),
            "{name}: the state works on"
        );
        if !ends.is_empty() {
            let is_told = |line: &str| {
                line.contains("message.bad fails") && ends.iter().any(|end| line.contains(end))
            };
            wait_for(&format!("the end of {name} in trace.log"), || {
                let text = fs::read_to_string(server.folder().join("trace.log")).ok()?;
                text.lines().any(is_told).then_some(())
            });
        }
        // The next one must say it for itself.
        fs::write(server.folder().join("trace.log"), "").expect("emptied");
    }
    // As many as there may be, for ever.
    assert_eq!(get(&server, "/sleepers"), "[0,null]\n");
    server.line(|line| line.contains("plugins: no coroutine for a timer"));
    check_alive(&server, &mut good, "sleepers");
    assert_eq!(
        get(&server, "/count"),
        format!("[0,{}]\n", ATTACKS.len() + 1)
    );
    // What plugins have, and what the daemon has for itself.
    let peak = server.memory_peak();
    assert!(peak < 300 << 20, "{peak} bytes");
}

/// A push to an app without handlers arrives, and the daemon answers.
#[track_caller]
fn check_alive(server: &Server, good: &mut Ws, text: &str) {
    assert_eq!(push(server, "good", "*", text), 1);
    assert_eq!(good.text(), text);
    assert!(get(server, "/stat").contains("\"connection_num\":"));
}

#[test]
fn a_plugin_that_does_not_end_its_load_is_not_loaded() {
    let folder = Folder::new();
    fs::write(
        folder.0.join("api.lua"),
        "local x = 1\nwhile true do x = x + 1 end",
    )
    .expect("file");
    let output = Command::new(env!("CARGO_BIN_EXE_jdserver"))
        .args(["-p", "0", "-d"])
        .arg(&folder.0)
        .current_dir(&folder.0)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("api.lua:2: too much computing"), "{said}");

    let server = Server::setup()
        .file("api.lua", "n = 0 function api_n() n = n + 1 return n end")
        .start();
    assert_eq!(get(&server, "/n"), "[0,1]\n");
    let endless = "\n\nwhile true do pcall(function() while true do end end) end";
    let greedy = "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end";
    for (source, wanted) in [
        (endless, &["jdserver.d/bad.lua:3: too much computing"][..]),
        (greedy, MEMORY),
        ("sleep(1)", &["use setTimeoutLocal(0, f"]),
        ("error({})", &["(error object is a table value)"]),
    ] {
        fs::create_dir_all(server.folder().join("jdserver.d")).expect("a folder");
        fs::write(server.folder().join("jdserver.d/bad.lua"), source).expect("written");
        let answer = get(&server, "/reload");
        let is_told = wanted.iter().any(|text| answer.contains(text));
        assert!(
            answer.starts_with("[4,\"服务器错误\",") && is_told,
            "{answer}"
        );
    }
    assert_eq!(get(&server, "/n"), "[0,2]\n", "the old ones go on");
}

/// A peer that answers a byte at a time, until it is told to end.
struct Drip {
    url: String,
    asked: Receiver<()>,
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Drip {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let (end, ends) = channel::<()>();
        let (asks, asked) = channel();
        let thread = thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("accepted");
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).expect("a request");
            asks.send(()).expect("heard");
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            // A pace, nothing that is waited for.
            while ends.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                let _ = peer.write_all(b"x");
            }
        });
        Drip {
            url,
            asked,
            end,
            thread,
        }
    }

    fn end(self) {
        self.end.send(()).expect("it drips");
        self.thread.join().expect("no panic");
    }
}

#[test]
fn a_url_that_drips_costs_its_time_and_no_more() {
    let drip = Drip::start();
    let server = Server::setup()
        .file(
            "api.lua",
            &format!(
                "function api_slow(env)
                    local body, why = httpCall({:?}, nil, {{ timeout = 0.2 }})
                    return tostring(body) .. ' ' .. why
                end
                function api_fast(env) return 1 end",
                drip.url
            ),
        )
        .start();
    let mut slow = Conn::open(&server);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    drip.asked.recv().expect("it is asked");
    let mut good = Ws::user(&server, "good", "g");
    check_alive(&server, &mut good, "x");
    assert_eq!(get(&server, "/fast"), "[0,1]\n");
    assert_eq!(slow.answer().text(), "[0,\"nil timeout after 200 ms\"]\n");
    drip.end();
}

#[test]
fn the_daemon_ends_though_plugins_do_not() {
    let drip = Drip::start();
    let source = format!(
        "on('message.a', function(ws, frame) logit('begun') sleep(1e9) end)
        function api_url(env) return httpCall({:?}, nil, {{ timeout = 3600 }}) end
        function api_spin(env)
            safeGo(function() while true do sleep(0) end end)
            safeGo(function() while true do pcall(function() while true do sleep(0) end end) end end)
        end",
        drip.url
    );
    let mut server = Server::setup()
        .settings("plugin_timeout = 3600\nplugin_compute = 60\nshutdown_timeout = 0.1")
        .file("api.lua", &source)
        .start();
    let mut sleeper = Ws::user(&server, "a", "u");
    sleeper.send_text("{}");
    server.line_in("trace.log", |line| line.ends_with("begun"));
    assert_eq!(get(&server, "/spin"), "[0,null]\n");
    let mut waits = Conn::open(&server);
    waits.send("GET /url HTTP/1.1\r\nHost: a\r\n\r\n");
    drip.asked.recv().expect("it is asked");
    server.signal("TERM");
    assert!(server.ended().success());
    drip.end();
}

#[test]
fn without_plugins_there_is_no_plugin_thread() {
    let server = Server::start();
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    let threads = server.threads();
    assert!(!threads.contains(&"plugin".to_owned()), "{threads:?}");
    let server = shop();
    let threads = server.threads();
    assert!(threads.contains(&"plugin".to_owned()), "{threads:?}");
    // The first ones may come by a reload.
    let server = Server::start();
    fs::write(
        server.folder().join("api.lua"),
        "function api_x() return 1 end",
    )
    .expect("written");
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    assert_eq!(get(&server, "/x"), "[0,1]\n");
    assert!(server.threads().contains(&"plugin".to_owned()));
}

#[test]
fn too_many_events_are_refused_or_counted_and_others_notice_nothing() {
    const QUEUE: usize = 4;
    let gate = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = gate.local_addr().expect("an address");
    let server = Server::setup()
        .settings(&format!("plugin_queue = {QUEUE}\nplugin_timeout = 3600"))
        .file(
            "api.lua",
            &format!(
                "on('message.slow', function(ws, frame)
                    local gate = assert(connectTcp('{address}', 60))
                    gate:read(1, 60)
                end)
                on('push.slow', function(user, msg) end)
                on('close.slow', function(ws, frame) logit('closed ' .. frame.user) end)
                function api_hello(env) return 'hello' end"
            ),
        )
        .start();
    let mut slow: Vec<Ws> = (0..QUEUE)
        .map(|n| Ws::user(&server, "slow", &format!("u{n}")))
        .collect();
    let gates: Vec<_> = slow
        .iter_mut()
        .map(|ws| {
            ws.send_text("{\"ac\":\"x\"}");
            gate.accept().expect("its handler waits").0
        })
        .collect();
    // The queue is full from here on.
    let busy = "[4,\"服务器错误\",\"too busy: try again later\"]\n";
    assert_eq!(get(&server, "/hello"), busy);
    assert_eq!(get(&server, "/push?app=slow&user=*&msg=x"), busy);
    let mut late = Ws::user(&server, "slow", "late");
    late.send_text("{\"ac\":\"x\"}");
    assert_eq!(late.text(), "*** error: too busy: try again later");
    let dropped = |count: usize| format!("\"plugin_dropped\":{count}");
    assert!(get(&server, "/stat").contains(&dropped(1)));
    // Nobody waits for the handlers of an end: they miss it, and it is counted.
    late.send(crate::common::websocket::CLOSE, &1000u16.to_be_bytes());
    late.closed(1000);
    assert!(get(&server, "/stat").contains(&dropped(2)));
    let mut good = Ws::user(&server, "good", "g");
    for round in 0..20 {
        check_alive(&server, &mut good, &format!("round {round}"));
        good.send_text("{\"ac\":\"alive\"}");
        assert_eq!(good.text(), "OK");
    }
    let batch = "[{\"ac\":\"hello\"},{\"ac\":\"getUsers\",\"get\":{\"app\":\"good\"}}]";
    let json = "Content-Type: application/json\r\n";
    let answers = ask(&server, "POST", "/batch", json, batch).text();
    assert!(
        answers.contains("too busy") && answers.ends_with("[0,[\"g\"]]]]\n"),
        "{answers}"
    );
    for mut gate in gates {
        gate.write_all(b"x").expect("it reads");
    }
    for ws in &mut slow {
        assert_eq!(ws.text(), "OK");
    }
    assert_eq!(get(&server, "/hello"), "[0,\"hello\"]\n");
    assert_eq!(push(&server, "slow", "*", "x"), QUEUE);
    assert!(get(&server, "/stat").contains(&dropped(2)));
}
