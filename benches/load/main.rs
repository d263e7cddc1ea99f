//! Load on the real binary, side by side with the cheapest server there can be:
//!
//!     cargo bench --bench load [-- --rounds 11]
//!
//! Prints what a fresh process costs, then work per second of wall time and of server CPU with the
//! ratio to the floor program of the same round, then how long a call waits while pushes to 10,000
//! receivers run back to back. Run nothing beside it; a second floor shows what is noise.

mod floor;
mod latency;
mod server;
mod swarm;
mod throughput;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use server::Server;
use swarm::Swarm;

/// Connections of the idle measurement and receivers of the latency one, if open files allow.
const MANY: usize = 10_000;
const ROUNDS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, port] = &args[..]
        && kind == "floor"
    {
        return floor::run(port.parse().expect("a port"));
    }
    // Under `cargo test --benches` there is nothing to measure.
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let rounds = args
        .iter()
        .position(|arg| arg == "--rounds")
        .and_then(|at| args.get(at + 1)?.parse().ok())
        .unwrap_or(ROUNDS);
    let many = MANY.min(raise_open_files().saturating_sub(200));
    idle(many);
    throughput::run(rounds.max(1));
    latency::run(many);
}

/// What a fresh process costs.
fn idle(connections: usize) {
    let server = Server::jdserver();
    let answered_bytes = server.rss_bytes();
    let swarm = Swarm::connect(&server, connections);
    let grown = server.rss_bytes().saturating_sub(server.start_bytes);
    println!("fresh process");
    println!("  start to first answer    {:>10.1} ms", server.start_ms);
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    println!(
        "  RSS at start             {:>10.2} MiB",
        mib(server.start_bytes)
    );
    println!(
        "  RSS after an answer      {:>10.2} MiB",
        mib(answered_bytes)
    );
    println!(
        "  RSS per idle WebSocket   {:>10} bytes, of {} connections\n",
        grown / swarm.len() as u64,
        swarm.len()
    );
}

/// As many as the hard limit allows; gives that number.
fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| files as usize)
}
