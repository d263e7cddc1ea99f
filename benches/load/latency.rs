//! How long a call waits while pushes to many receivers run back to back, alone and beside
//! input that asks for much at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::swarm::Swarm;
use crate::throughput::{Answers, at_share, push_request, sorted};

const SPAN: Duration = Duration::from_secs(10);
const PROBES_PER_SECOND: u32 = 500;
/// When the disturbance comes.
const DISTURBED_AT: Duration = Duration::from_secs(3);
const PIPELINED_PUSHES: usize = 600;
/// 600 of these are 40 KB.
const SHORT_PUSH: &[u8] = b"GET /push?app=bench&user=*&msg=hello HTTP/1.1\r\nHost: bench\r\n\r\n";
const LIST_BYTES: usize = 2 << 20;
const PROBE: &[u8] = b"GET /push?app=nobody&user=*&msg=hi HTTP/1.1\r\nHost: bench\r\n\r\n";

/// What comes beside the pushes.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    /// One write that holds 600 pushes to everyone.
    Pipelined,
    /// One list of pushes to everyone, 2 MiB long.
    List,
}

/// Measures and prints.
pub fn run(receivers: usize) {
    println!(
        "a probe of {PROBES_PER_SECOND} calls/s for {} s during pushes to {receivers} receivers",
        SPAN.as_secs()
    );
    println!(
        "{:<30}{:>10}{:>10}{:>10}{:>16}{:>14}",
        "beside it", "p50 ms", "p99 ms", "max ms", "deliveries/s", "peak RSS MiB"
    );
    for (name, beside) in [
        ("nothing", Beside::Nothing),
        ("a write of 600 pushes", Beside::Pipelined),
        ("a list of pushes, 2 MiB", Beside::List),
    ] {
        measure(name, beside, receivers);
    }
}

fn measure(name: &str, beside: Beside, receivers: usize) {
    let server = Server::jdserver();
    let mut swarm = Swarm::connect(&server, receivers);
    let publisher = publisher(server.connect());
    let disturber = disturber(server.connect(), beside);
    let prober = prober(server.connect());
    let (mut frames, begun) = (0, Instant::now());
    while !prober.is_finished() {
        frames += swarm.pump(Duration::from_millis(20), None);
    }
    let per_second = frames as f64 / begun.elapsed().as_secs_f64();
    let peak_bytes = server.peak_bytes();
    let latencies = sorted(prober.join().expect("every probe is answered"));
    println!(
        "{name:<30}{:>10.2}{:>10.2}{:>10.2}{per_second:>16.0}{:>14.1}",
        at_share(&latencies, 0.5),
        at_share(&latencies, 0.99),
        at_share(&latencies, 1.0),
        peak_bytes as f64 / 1_048_576.0,
    );
    // What was asked for may be far from done: the end of the server is the end of who waits.
    drop(server);
    publisher.join().expect("the publisher ends");
    disturber.join().expect("the disturber ends");
}

/// Pushes to everyone, one after the other, until the server is gone.
fn publisher(caller: TcpStream) -> JoinHandle<()> {
    let mut caller = Answers::new(caller);
    std::thread::spawn(move || while caller.call(&push_request(), 1).is_some() {})
}

fn disturber(mut caller: TcpStream, beside: Beside) -> JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(DISTURBED_AT);
        let input = match beside {
            Beside::Nothing => return,
            Beside::Pipelined => SHORT_PUSH.repeat(PIPELINED_PUSHES),
            Beside::List => list_request(),
        };
        caller.write_all(&input).expect("the server takes it in");
        // Reads until the server is gone, so that no answer stands in its way.
        let mut buffer = [0; 4 << 10];
        while caller.read(&mut buffer).is_ok_and(|len| len > 0) {}
    })
}

fn list_request() -> Vec<u8> {
    let item = format!(
        r#"{{"app":"bench","user":"*","msg":"{}"}},"#,
        "x".repeat(64)
    );
    let items = item.repeat(LIST_BYTES / item.len());
    let body = format!("[{}]", items.trim_end_matches(','));
    let head = "POST /push HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An open loop: calls leave by the clock, whether or not those before were answered, and each is
/// timed from when it was due. Gives milliseconds.
fn prober(stream: TcpStream) -> JoinHandle<Vec<f64>> {
    let count = SPAN.as_secs() as u32 * PROBES_PER_SECOND;
    let due = |begun: Instant, i: u32| begun + Duration::from_secs(1) * i / PROBES_PER_SECOND;
    std::thread::spawn(move || {
        let begun = Instant::now();
        let mut writer = stream.try_clone().expect("a second handle");
        let sender = std::thread::spawn(move || {
            for i in 0..count {
                std::thread::sleep(due(begun, i).saturating_duration_since(Instant::now()));
                writer.write_all(PROBE).expect("room for one request");
            }
        });
        let mut answers = Answers::new(stream);
        let mut latencies = Vec::with_capacity(count as usize);
        while latencies.len() < count as usize && answers.next_count().is_some() {
            let due = due(begun, latencies.len() as u32);
            latencies.push(due.elapsed().as_secs_f64() * 1e3);
        }
        sender.join().expect("all are sent");
        latencies
    })
}
