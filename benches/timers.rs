//! The numbers of timers: `cargo bench --bench timers [PART..]` with parts `set`, `million`, `lateness`, `callbacks`,
//! `durable`, `many`, `drift`. Each starts the real binary, loads it from this process and prints rows of a table.
//! CPU is the server's own (`/proc`), so that a client on the same machine does not count.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::server::Server;

fn main() {
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| name == part);
    println!("| what | measured | wanted |\n|---|---|---|");
    if wanted("set") {
        set_rate(64, 200_000, "60,000");
        set_rate(1, 50_000, "25,000");
    }
    if wanted("million") {
        million();
    }
    if wanted("lateness") {
        lateness();
    }
    if wanted("callbacks") {
        callbacks();
    }
    if wanted("durable") {
        durable();
    }
    if wanted("many") {
        many();
    }
    if wanted("drift") {
        drift();
    }
}

fn row(what: &str, measured: &str, wanted: &str) {
    println!("| {what} | {measured} | {wanted} |");
}

/// Some keep-alive connections, used in turns by one thread.
struct Clients(Vec<BufReader<TcpStream>>);

impl Clients {
    fn connect(server: &Server, count: usize) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("connect");
            stream.set_nodelay(true).expect("nodelay");
            BufReader::new(stream)
        };
        Clients((0..count).map(connect).collect())
    }

    /// Sends `depth` requests on each connection, then reads the answers, until there were `count`.
    fn run(&mut self, count: usize, depth: usize, mut request: impl FnMut(usize, &mut Vec<u8>)) {
        let mut made = 0;
        while made < count {
            let mut buffer = Vec::new();
            let mut sent = vec![0; self.0.len()];
            for (client, sent) in self.0.iter_mut().zip(&mut sent) {
                buffer.clear();
                while *sent < depth && made < count {
                    request(made, &mut buffer);
                    made += 1;
                    *sent += 1;
                }
                client.get_mut().write_all(&buffer).expect("sent");
            }
            for (client, sent) in self.0.iter_mut().zip(sent) {
                for _ in 0..sent {
                    answer(client);
                }
            }
        }
    }
}

/// Reads one answer, which must be a success.
fn answer(client: &mut BufReader<TcpStream>) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        client.read_line(&mut line).expect("a head");
        if let Some(digits) = line.strip_prefix("Content-Length: ") {
            length = digits.trim_end().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).expect("a body");
    assert!(
        body.starts_with(b"[0,"),
        "{}",
        String::from_utf8_lossy(&body)
    );
    String::from_utf8(body).expect("UTF-8")
}

fn post(out: &mut Vec<u8>, target: &str, body: &str) {
    let length = body.len();
    let _ = write!(
        out,
        "POST {target} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
}

const FAR: &str = r#"{"url":"http://127.0.0.1:9/app/callback?order=4711","wait":36000000}"#;

fn set_rate(connections: usize, count: usize, wanted: &str) {
    let server = Server::start();
    let mut clients = Clients::connect(&server, connections);
    clients.run(connections * 100, 1, |_, out| post(out, "/setTimeout", FAR));
    let (cpu, wall) = (server.cpu(), Instant::now());
    clients.run(count, 1, |_, out| post(out, "/setTimeout", FAR));
    let (cpu, wall) = (server.cpu() - cpu, wall.elapsed());
    row(
        &format!("sets per second of server CPU, {connections} connections"),
        &format!(
            "{:.0} ({:.0} per second of wall time)",
            count as f64 / cpu.as_secs_f64(),
            count as f64 / wall.as_secs_f64()
        ),
        wanted,
    );
}

fn million() {
    const COUNT: usize = 1_000_000;
    let server = Server::start();
    let mut clients = Clients::connect(&server, 64);
    clients.run(6_400, 1, |_, out| post(out, "/setTimeout", FAR));
    let before = server.memory();
    clients.run(COUNT, 20, |_, out| post(out, "/setTimeout", FAR));
    let grown = server.memory() - before;
    row(
        "bytes per pending one-shot at 1,000,000, text aside",
        &format!("{}", grown as i64 / COUNT as i64 - FAR.len() as i64),
        "150",
    );
    let mut clients = Clients::connect(&server, 1);
    let client = &mut clients.0[0];
    let mut took = Vec::new();
    for _ in 0..20_000 {
        let mut request = Vec::new();
        post(&mut request, "/setTimeout", FAR);
        let start = Instant::now();
        client.get_mut().write_all(&request).expect("sent");
        let id = answer(client);
        took.push(start.elapsed());
        let id = id[3..].trim_end_matches("]\n");
        let request = format!("GET /Timer.del?id={id} HTTP/1.1\r\nHost: h\r\n\r\n");
        let start = Instant::now();
        client
            .get_mut()
            .write_all(request.as_bytes())
            .expect("sent");
        answer(client);
        took.push(start.elapsed());
    }
    row(
        "a set or a cancel at that size, p50 / p99.9 / longest",
        &spread(&mut took, &[0.5, 0.999, 1.0]),
        "p99.9 5 ms",
    );
}

fn spread(took: &mut [Duration], parts: &[f64]) -> String {
    took.sort_unstable();
    let at = |part: f64| ((took.len() - 1) as f64 * part) as usize;
    let shown: Vec<String> = parts
        .iter()
        .map(|&part| format!("{:.2}", took[at(part)].as_secs_f64() * 1e3))
        .collect();
    format!("{} ms", shown.join(" / "))
}

/// An HTTP server that notes when which path came.
struct Sink {
    port: u16,
    hits: Arc<Mutex<Vec<(usize, Instant)>>>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let hits = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&hits);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hits = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &hits));
            }
        });
        Sink { port, hits }
    }

    /// All hits, once there are `count`.
    fn take(&self, count: usize) -> Vec<(usize, Instant)> {
        loop {
            let mut hits = self.hits.lock().expect("no panic while locked");
            if hits.len() >= count {
                return std::mem::take(&mut *hits);
            }
            drop(hits);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(mut stream: TcpStream, hits: &Mutex<Vec<(usize, Instant)>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4_096];
    let mut filled = 0;
    while let Ok(n) = stream.read(&mut buffer[filled..]) {
        let now = Instant::now();
        filled += n;
        if n == 0 {
            return;
        }
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&buffer[..filled]);
        let path = text.split(' ').nth(1).unwrap_or_default();
        let serial = path.trim_start_matches('/').parse().unwrap_or(usize::MAX);
        hits.lock()
            .expect("no panic while locked")
            .push((serial, now));
        filled = 0;
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .is_err()
        {
            return;
        }
    }
}

fn lateness() {
    const COUNT: usize = 5_000;
    let (server, sink) = (Server::start(), Sink::start());
    let mut clients = Clients::connect(&server, 1);
    let client = &mut clients.0[0];
    let start = Instant::now() + Duration::from_secs(3);
    let mut due = Vec::new();
    for serial in 0..COUNT {
        let at = start + Duration::from_millis(serial as u64);
        let now = Instant::now();
        let wait_ms = at.saturating_duration_since(now).as_millis() as u64;
        let mut request = Vec::new();
        let body = format!(
            r#"{{"url":"http://127.0.0.1:{}/{serial}","wait":{wait_ms}}}"#,
            sink.port
        );
        post(&mut request, "/setTimeout", &body);
        let sent = Instant::now();
        client.get_mut().write_all(&request).expect("sent");
        answer(client);
        due.push(sent + Duration::from_millis(wait_ms));
    }
    let hits = sink.take(COUNT);
    let early = hits
        .iter()
        .filter(|(serial, at)| *at < due[*serial])
        .count();
    let mut late: Vec<Duration> = hits
        .iter()
        .map(|(serial, at)| at.saturating_duration_since(due[*serial]))
        .collect();
    row(
        "lateness at 1,000 per second, due to request on the wire, p50 / p99 / longest; early ones",
        &format!("{}; {early}", spread(&mut late, &[0.5, 0.99, 1.0])),
        "1.5 / 5 ms; 0",
    );
}

fn callbacks() {
    const COUNT: usize = 40_000;
    let (server, sink) = (Server::start(), Sink::start());
    let mut clients = Clients::connect(&server, 64);
    let start = Instant::now();
    let port = sink.port;
    clients.run(COUNT, 1, |serial, out| {
        let wait_ms = 5_000_u64.saturating_sub(start.elapsed().as_millis() as u64);
        let body = format!(r#"{{"url":"http://127.0.0.1:{port}/{serial}","wait":{wait_ms}}}"#);
        post(out, "/setTimeout", &body);
    });
    assert!(start.elapsed() < Duration::from_secs(5), "set in time");
    let cpu = server.cpu();
    let mut hits = sink.take(COUNT);
    let cpu = server.cpu() - cpu;
    hits.sort_by_key(|(_, at)| *at);
    let took = hits[COUNT - 1].1 - hits[0].1;
    row(
        "callbacks per second of wall time to a local server with keep-alive",
        &format!(
            "{:.0} ({:.0} µs of server CPU each)",
            COUNT as f64 / took.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / COUNT as f64
        ),
        "8,000",
    );
}

/// How late callbacks are while 64 callers set durably, beside those of the same server at rest.
fn fired_meanwhile(server: &Server, setters: &mut Clients, timers: usize) {
    const COUNT: usize = 2_000;
    const SETS_PER_S: u32 = 2_000;
    let sink = Sink::start();
    let mut late = [Vec::new(), Vec::new()];
    let mut sets = 0;
    for (is_busy, late) in late.iter_mut().enumerate() {
        let start = Instant::now() + Duration::from_millis(1_500);
        let mut due = Vec::new();
        let mut clients = Clients::connect(server, 1);
        for serial in 0..COUNT {
            let at = start + Duration::from_millis(serial as u64);
            let wait_ms = at.saturating_duration_since(Instant::now()).as_millis() as u64;
            let port = sink.port;
            let body = format!(r#"{{"url":"http://127.0.0.1:{port}/{serial}","wait":{wait_ms}}}"#);
            due.push(Instant::now() + Duration::from_millis(wait_ms));
            clients.run(1, 1, |_, out| post(out, "/setTimeout", &body));
        }
        let begun = Instant::now();
        let mut busy = Duration::ZERO;
        while is_busy == 1 && start.elapsed() < Duration::from_millis(COUNT as u64) {
            setters.run(64, 1, |n, out| {
                let target = format!("/Timer.set?code=app-obj-{}", (sets + n) * 7 % timers);
                post(out, &target, &format!(r#"{{"note":{n}}}"#));
            });
            sets += 64;
            busy += Duration::from_secs(64) / SETS_PER_S;
            thread::sleep(busy.saturating_sub(begun.elapsed()));
        }
        for (serial, at) in sink.take(COUNT) {
            late.push(at.saturating_duration_since(due[serial]));
        }
    }
    for (what, late) in [
        "nothing else".to_owned(),
        format!("{sets} durable sets, {SETS_PER_S} per second"),
    ]
    .into_iter()
    .zip(&mut late)
    {
        row(
            &format!("lateness at 1,000 per second during {what}, p50 / p99 / longest"),
            &spread(late, &[0.5, 0.99, 1.0]),
            "no difference",
        );
    }
}

/// What concerns all of 100,000 timers at once, and how long a call about one waits meanwhile.
fn many() {
    const TIMERS: usize = 100_000;
    let list: Vec<String> = (1..=TIMERS)
        .map(|id| {
            format!(r#"{{"url":"http://127.0.0.1:9/app/callback","cron":"1 1 1 1 *","code":"app-obj-{id}","id":{id}}}"#)
        })
        .collect();
    let file = format!(r#"{{"nextId":{},"list":[{}]}}"#, TIMERS + 1, list.join(","));
    let setup = Server::setup().file("timer.json", &file);
    let start = Instant::now();
    let server = setup.start();
    let serving = start.elapsed();
    let mut asker = Clients::connect(&server, 1);
    let ask = |out: &mut Vec<u8>, target: &str| {
        let _ = write!(out, "GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    };
    asker.run(1, 1, |_, out| ask(out, "/Timer.preview?cron=@hourly"));
    row(
        "start with 100,000 timers: serving / first answer about timers",
        &format!("{serving:.0?} / {:.0?}", start.elapsed()),
        "",
    );
    let mut clients = Clients::connect(&server, 1);
    let clear = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        clients.run(1, 1, |_, out| ask(out, "/Timer.clear"));
        start.elapsed()
    });
    let mut took = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        asker.run(1, 1, |_, out| ask(out, "/Timer.preview?cron=@hourly"));
        took.push(start.elapsed());
    }
    let cleared = clear.join().expect("cleared");
    row(
        &format!(
            "other timer calls during a Timer.clear of 100,000 ({cleared:.1?}), p50 / longest"
        ),
        &spread(&mut took, &[0.5, 1.0]),
        "5 ms",
    );
}

/// How much later than at the start an interval fires at its end: run k is due at start + k times the wait.
fn drift() {
    const WAIT: Duration = Duration::from_millis(100);
    const RUNS: usize = 100;
    const EDGE: usize = 20;
    let (server, sink) = (Server::start(), Sink::start());
    let body = format!(
        r#"{{"url":"http://127.0.0.1:{}/0","wait":{},"cron":1}}"#,
        sink.port,
        WAIT.as_millis()
    );
    Clients::connect(&server, 1).run(1, 1, |_, out| post(out, "/setTimeout", &body));
    let hits = sink.take(RUNS);
    let begun = hits[0].1;
    // Medians, for a single run may be late.
    let off_ms = |runs: std::ops::Range<usize>| {
        let off = runs.map(|k| (hits[k].1 - begun).as_secs_f64() - WAIT.as_secs_f64() * k as f64);
        let mut off: Vec<f64> = off.collect();
        off.sort_by(f64::total_cmp);
        off[off.len() / 2] * 1e3
    };
    row(
        &format!("drift of an interval of {WAIT:.0?} over {RUNS} runs"),
        &format!("{:+.2} ms", off_ms(RUNS - EDGE..RUNS) - off_ms(0..EDGE)),
        "none",
    );
}

fn durable() {
    const TIMERS: usize = 100_000;
    const COUNT: usize = 20_000;
    let server = Server::start();
    let mut clients = Clients::connect(&server, 64);
    clients.run(TIMERS / 1_000, 1, |batch, out| {
        let calls: Vec<String> = (0..1_000)
            .map(|n| {
                format!(
                    r#"{{"ac":"setTimeout","post":{{"url":"http://127.0.0.1:9/app/callback","cron":"1 1 1 1 *","code":"app-obj-{}"}}}}"#,
                    batch * 1_000 + n
                )
            })
            .collect();
        post(out, "/batch", &format!("[{}]", calls.join(",")));
    });
    let start = Instant::now();
    clients.run(COUNT, 1, |n, out| {
        let target = format!("/Timer.set?code=app-obj-{}", n * 7 % TIMERS);
        post(out, &target, &format!(r#"{{"note":{n}}}"#));
    });
    row(
        "durable sets per second at 100,000 timers, 64 callers",
        &format!("{:.0}", COUNT as f64 / start.elapsed().as_secs_f64()),
        "2,000",
    );
    fired_meanwhile(&server, &mut clients, TIMERS);
    // The list: how long others wait meanwhile.
    let mut asker = Clients::connect(&server, 1);
    let port = server.port();
    let lister = thread::spawn(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
        let start = Instant::now();
        stream
            .write_all(b"GET /Timer.query HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("the list");
        (all.len(), start.elapsed())
    });
    let mut took = Vec::new();
    while !lister.is_finished() {
        let start = Instant::now();
        let client = &mut asker.0[0];
        client
            .get_mut()
            .write_all(b"GET /getUsers?app=a HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("sent");
        answer(client);
        took.push(start.elapsed());
    }
    let (bytes, whole) = lister.join().expect("the list");
    row(
        &format!("other calls during a Timer.query of {bytes} bytes ({whole:.0?}), p50 / longest"),
        &spread(&mut took, &[0.5, 1.0]),
        "",
    );
}
