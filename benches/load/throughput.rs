//! Work per second: deliveries, round trips and calls, ours and the floor's in turn, and the
//! ratio within each round.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memchr;
use mio::{Events, Interest, Poll, Token};

use crate::server::{Cpu, Server};
use crate::swarm::{ALIVE, Swarm, masked};

const RECEIVERS: usize = 1_000;
const PUSHES: usize = 300;
const PUSHES_PIPELINED: usize = 960;
const ROUND_TRIP_CLIENTS: usize = 200;
const HTTP_CLIENTS: usize = 64;
const SPAN: Duration = Duration::from_secs(2);

/// The kinds of work, in the order of the table.
const ROWS: [&str; 4] = [
    "deliveries",
    "deliveries, 16 pushes/write",
    "WebSocket round trips",
    "HTTP pushes to nobody",
];

/// What one measurement gave.
#[derive(Clone, Copy)]
struct Sample {
    per_second: f64,
    per_cpu_second: f64,
    user_us: f64,
}

impl Sample {
    fn new(units: u64, begun: Instant, before: Cpu, after: Cpu) -> Self {
        let units = units as f64;
        Sample {
            per_second: units / begun.elapsed().as_secs_f64(),
            per_cpu_second: units / (after.all_s - before.all_s).max(1e-3),
            user_us: (after.user_s - before.user_s) / units.max(1.0) * 1e6,
        }
    }
}

/// One round of one server, by row.
type Round = [Sample; ROWS.len()];

/// Measures and prints.
pub fn run(rounds: usize) {
    let servers = [
        Server::jdserver(),
        Server::floor("floor"),
        Server::floor("second floor"),
    ];
    let mut results: [Vec<Round>; 3] = Default::default();
    for _ in 0..rounds {
        for (server, results) in servers.iter().zip(&mut results) {
            results.push(measure(server));
        }
    }
    print(&results, rounds);
}

fn measure(server: &Server) -> Round {
    let single = deliveries(server, PUSHES, 1);
    let pipelined = match server.name {
        "jdserver" => deliveries(server, PUSHES_PIPELINED, 16),
        // The floor answers one request per piece of input; its single deliveries are the measure.
        _ => single,
    };
    [single, pipelined, round_trips(server), calls(server)]
}

fn deliveries(server: &Server, pushes: usize, per_write: usize) -> Sample {
    let mut swarm = Swarm::connect(server, RECEIVERS);
    let mut caller = Answers::new(server.connect());
    let (before, begun) = (server.cpu(), Instant::now());
    let publisher = std::thread::spawn(move || {
        let writes = (0..pushes / per_write).map(|_| caller.call(&push_request(), per_write));
        writes.sum::<Option<u64>>()
    });
    let expected = (pushes * RECEIVERS) as u64;
    let frames = swarm.pump_until(|frames| frames >= expected);
    let sample = Sample::new(frames, begun, before, server.cpu());
    let taken = publisher.join().expect("the publisher ends");
    assert_eq!(
        (frames, taken),
        (expected, Some(expected)),
        "{}: frames, and what was counted",
        server.name
    );
    sample
}

/// One push of 64 bytes to everyone.
pub fn push_request() -> Vec<u8> {
    let body = format!("app=bench&user=*&msg={}", "x".repeat(64));
    let head =
        "POST /push HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Answers of calls, in order, as they come over one connection.
pub struct Answers {
    stream: TcpStream,
    kept: Vec<u8>,
}

impl Answers {
    pub fn new(stream: TcpStream) -> Self {
        Answers {
            stream,
            kept: Vec::new(),
        }
    }

    /// The count of the next answer `[0,N]`; `None` once the server is gone.
    pub fn next_count(&mut self) -> Option<u64> {
        let mut buffer = [0; 16 << 10];
        loop {
            // An answer's body is one line, and no line of a head begins like it.
            while let Some(end) = memchr(b'\n', &self.kept) {
                let line = std::str::from_utf8(&self.kept[..end]).unwrap_or_default();
                let count = line
                    .strip_prefix("[0,")
                    .map(|rest| rest.trim_end_matches(']').parse().expect("a count"));
                self.kept.drain(..=end);
                if count.is_some() {
                    return count;
                }
            }
            let len = self.stream.read(&mut buffer).unwrap_or(0);
            if len == 0 {
                return None;
            }
            self.kept.extend_from_slice(&buffer[..len]);
        }
    }

    /// Sends so many requests in one write, and gives the sum of the counts that answer them.
    pub fn call(&mut self, request: &[u8], times: usize) -> Option<u64> {
        self.stream.write_all(&request.repeat(times)).ok()?;
        (0..times).map(|_| self.next_count()).sum()
    }
}

fn round_trips(server: &Server) -> Sample {
    let mut swarm = Swarm::connect(server, ROUND_TRIP_CLIENTS);
    let frame = masked(ALIVE);
    let (before, begun) = (server.cpu(), Instant::now());
    swarm.send_all(&frame);
    let mut frames = 0;
    while begun.elapsed() < SPAN {
        frames += swarm.pump(Duration::from_millis(20), Some(&frame));
    }
    Sample::new(frames, begun, before, server.cpu())
}

/// Closed loops of `GET /push` for an app where no one is.
fn calls(server: &Server) -> Sample {
    const REQUEST: &[u8] =
        b"GET /push?app=nobody&user=*&msg=hi HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let mut poll = Poll::new().expect("epoll");
    let mut clients = Vec::new();
    for i in 0..HTTP_CLIENTS {
        let stream = server.connect();
        stream.set_nonblocking(true).expect("an open socket");
        let mut stream = mio::net::TcpStream::from_std(stream);
        let registry = poll.registry();
        let registered = registry.register(&mut stream, Token(i), Interest::READABLE);
        registered.expect("a new socket");
        clients.push(stream);
    }
    let (before, begun) = (server.cpu(), Instant::now());
    for client in &mut clients {
        client.write_all(REQUEST).expect("room for one request");
    }
    let (mut events, mut buffer, mut answers) = (Events::with_capacity(128), [0; 4 << 10], 0);
    while begun.elapsed() < SPAN {
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(20))) {
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            continue;
        }
        for event in &events {
            let client = &mut clients[event.token().0];
            match client.read(&mut buffer) {
                // One small answer to one request comes in one piece.
                Ok(len) if buffer[..len].ends_with(b"[0,0]\n") => {
                    answers += 1;
                    client.write_all(REQUEST).expect("room for one request");
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => panic!("an answer to a call: {other:?}"),
            }
        }
    }
    Sample::new(answers, begun, before, server.cpu())
}

fn print(results: &[Vec<Round>; 3], rounds: usize) {
    println!(
        "medians of {rounds} rounds; ratios are per server CPU second within a round: median [quartiles]"
    );
    println!(
        "{:<30}{:>12}{:>14}{:>10}   {:<20}{:<20}",
        "", "per second", "per CPU s", "user µs", "of the floor", "second floor"
    );
    for (row, name) in ROWS.iter().enumerate() {
        let of = |server: usize, value: fn(&Sample) -> f64| {
            let values = results[server].iter().map(|round| value(&round[row]));
            values.collect::<Vec<f64>>()
        };
        let ratios = |server: usize| {
            let floor = of(1, |sample| sample.per_cpu_second);
            let ours = of(server, |sample| sample.per_cpu_second);
            quartiles(
                ours.iter()
                    .zip(floor)
                    .map(|(ours, floor)| ours / floor)
                    .collect(),
            )
        };
        println!(
            "{name:<30}{:>12.0}{:>14.0}{:>10.2}   {:<20}{:<20}",
            median(of(0, |sample| sample.per_second)),
            median(of(0, |sample| sample.per_cpu_second)),
            median(of(0, |sample| sample.user_us)),
            ratios(0),
            ratios(2),
        );
    }
    println!();
}

fn median(values: Vec<f64>) -> f64 {
    at_share(&sorted(values), 0.5)
}

fn quartiles(values: Vec<f64>) -> String {
    let values = sorted(values);
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| at_share(&values, share));
    format!("{middle:.2} [{low:.2} {high:.2}]")
}

pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which that share of the sorted values lies.
pub fn at_share(values: &[f64], share: f64) -> f64 {
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}
