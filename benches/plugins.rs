//! The numbers of plugins: `cargo bench --bench plugins [PART..]` with parts `message`, `sleep`, `url`, `memory`. Each starts
//! the real binary with a plugin, loads it from this process and prints rows of a table. CPU is the server's own.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::server::Server;
use common::websocket::{Ws, frame};

const PLUGIN: &str = r#"
on("message.empty", function() end)
on("message.sleep", function() sleep(100) end)
on("message.long", function() sleep(5000) end)
on("message.url", function(ws, frame) httpCall(frame.req.url) end)
"#;

fn main() {
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| name == part);
    println!("| what | measured | wanted |\n|---|---|---|");
    if wanted("message") {
        message();
    }
    if wanted("sleep") {
        sleep();
    }
    if wanted("url") {
        url();
    }
    if wanted("memory") {
        memory();
    }
}

fn row(what: &str, measured: &str, wanted: &str) {
    println!("| {what} | {measured} | {wanted} |");
}

fn start() -> Server {
    Server::setup()
        .settings("plugin_timeout = 60\nhttpCallTimeout = 30\n")
        .file("api.lua", PLUGIN)
        .start()
}

fn users(server: &Server, app: &str, count: usize) -> Vec<Ws> {
    (0..count)
        .map(|user| Ws::user(server, app, &user.to_string()))
        .collect()
}

/// Each connection says `depth` messages in one write, then reads the answers; how much CPU one message took.
fn cpu_per_message(server: &Server, app: &str) -> Duration {
    const CONNECTIONS: usize = 64;
    const DEPTH: usize = 4;
    const ROUNDS: usize = 400;
    let mut users = users(server, app, CONNECTIONS);
    let said = frame(0x81, br#"{"ac":"alive"}"#).repeat(DEPTH);
    let round = |users: &mut Vec<Ws>| {
        for user in users.iter_mut() {
            user.conn.send(&said);
        }
        for user in users {
            for _ in 0..DEPTH {
                assert_eq!(user.text(), "OK");
            }
        }
    };
    for _ in 0..20 {
        round(&mut users);
    }
    let before = server.cpu();
    for _ in 0..ROUNDS {
        round(&mut users);
    }
    (server.cpu() - before) / (CONNECTIONS * DEPTH * ROUNDS) as u32
}

fn message() {
    let server = start();
    let mut extra: Vec<f64> = (0..5)
        .map(|_| {
            let plain = cpu_per_message(&server, "plain").as_secs_f64();
            let handled = cpu_per_message(&server, "empty").as_secs_f64();
            (handled - plain) * 1e6
        })
        .collect();
    extra.sort_by(f64::total_cmp);
    row(
        "server CPU of a message with an empty handler, over one without (median of 5)",
        &format!("{:.1} µs", extra[2]),
        "at most 15 µs",
    );
}

/// All say the same at once; how long until the last has its answer.
fn all_at_once(users: &mut [Ws], text: &str) -> Duration {
    let said = frame(0x81, text.as_bytes());
    let begun = Instant::now();
    for user in users.iter_mut() {
        user.conn.send(&said);
    }
    for user in users {
        assert_eq!(user.text(), "OK");
    }
    begun.elapsed()
}

fn sleep() {
    let server = start();
    let mut users = users(&server, "sleep", 1_000);
    let mut took: Vec<Duration> = (0..5).map(|_| all_at_once(&mut users, "{}")).collect();
    took.sort_unstable();
    row(
        "1,000 handlers that sleep 100 ms, begun at once, until the last has ended (median of 5)",
        &format!("{} ms", took[2].as_millis()),
        "at most 130 ms",
    );
}

/// A server that answers each request after 10 ms; its address.
fn slow_site() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}/")
}

fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|len| len > 0) {
        if line == "\r\n" {
            thread::sleep(Duration::from_millis(10));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if reader.get_mut().write_all(answer).is_err() {
                return;
            }
        }
        line.clear();
    }
}

fn url() {
    let server = start();
    let site = slow_site();
    let mut callers = users(&server, "url", 1_000);
    let mut probe = Ws::user(&server, "plain", "probe");
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let probing = thread::spawn(move || {
        let mut took = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            probe.send_text(r#"{"ac":"alive"}"#);
            assert_eq!(probe.text(), "OK");
            took.push(begun.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
        took.sort_unstable();
        took[took.len() * 99 / 100]
    });
    let text = format!(r#"{{"url":"{site}"}}"#);
    let mut took: Vec<Duration> = (0..5).map(|_| all_at_once(&mut callers, &text)).collect();
    is_over.store(true, Ordering::Relaxed);
    let p99 = probing.join().expect("no panic");
    took.sort_unstable();
    row(
        "1,000 handlers that each call a URL answering after 10 ms, until the last has ended (median of 5)",
        &format!("{} ms", took[2].as_millis()),
        "at most 500 ms",
    );
    row(
        "a message of another app meanwhile, p99",
        &format!("{:.1} ms", p99.as_secs_f64() * 1e3),
        "at most 5 ms",
    );
}

fn memory() {
    const COUNT: usize = 5_000;
    let server = start();
    let mut users = users(&server, "long", COUNT);
    let before = server.memory();
    let said = frame(0x81, b"{}");
    for user in &mut users {
        user.conn.send(&said);
    }
    common::wait_for("all coroutines wait", || {
        let stat = common::http::get(&server, "/stat");
        let waiting = stat.split("\"coroutine_num\":").nth(1)?;
        let waiting: usize = waiting.split(&[',', '}']).next()?.parse().ok()?;
        (waiting >= COUNT).then_some(())
    });
    let each = (server.memory() - before) / COUNT;
    row(
        "memory of a waiting coroutine, its connection's wait included (5,000 of them)",
        &format!("{each} bytes"),
        "at most 2,048",
    );
}
