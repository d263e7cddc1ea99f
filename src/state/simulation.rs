//! Seeded runs of the server with many peers, split bytes, slow readers, deaths at every point
//! and virtual time. What must hold is in [`model`] and [`judge`], the loop in [`driver`].
//!
//! `JDSERVER_SEED=n` runs one seed, `JDSERVER_SEEDS=n` the first n; a failure names its seed.

pub(in crate::state) mod bench;
mod driver;
mod found;
mod judge;
mod model;
mod peer;
mod script;
mod wire;

use core::net::IpAddr;
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::tz::TimeZone;

use crate::ids::{ConnId, Now};
use crate::limits::TICK_MS;
use crate::message::ReactorMsg;
use crate::settings::{FullQueue, Settings};
use crate::state::connection::Phase;
use crate::state::server::{Input, Server, Setup};
use model::Death;
use peer::{Msg, Peer, Script};
use script::World;
use wire::Rng;

/// One run.
struct Run {
    rng: Rng,
    server: Server<usize>,
    now: Now,
    peers: Vec<Peer>,
    msgs: Vec<Msg>,
    /// As the reactor has it.
    ready: VecDeque<ConnId>,
    arriving: Vec<usize>,
    buffer: usize,
    write_budget: usize,
    jobs: Vec<(u64, ReactorMsg)>,
    /// Connections whose job is never answered.
    lost_jobs: Vec<ConnId>,
    addresses: Vec<Option<IpAddr>>,
    /// The peer whose end is being told.
    ending: Option<usize>,
    /// Peers that must be told 503.
    refused: HashSet<usize>,
    deaths: Vec<Death>,
    entry: u64,
    /// The last entry in which a connection was gone.
    buried: u64,
    /// Slow receivers closed up to the last entry.
    slow_closed: u64,
    hub_changed: u64,
    /// What holds for full queues since before this entry.
    policy: (usize, FullQueue),
    closed: u64,
    progress: bool,
    heavy: bool,
    max_rate: u32,
    max_queue_ever: usize,
    /// No answer and no message is longer.
    answer_max: usize,
    trace: VecDeque<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let heavy = rng.chance(1);
        let settings = settings(&mut rng, heavy);
        let now = Now {
            mono_ms: rng.next() % 100_000,
            unix_ms: 1_760_000_000_000,
        };
        let connections_max = rng.pick(&[6, 40, 1_000]);
        let (max_rate, max_queue_ever) = (settings.max_rate, settings.max_queue.max(3_000));
        let answer_max = settings.max_body + (64 << 10);
        let setup = Setup {
            settings,
            connections_max,
            static_on_disk: rng.chance(50),
            plugins: None,
            zone: TimeZone::UTC,
            now,
        };
        Run {
            server: Server::new(setup),
            now,
            peers: Vec::new(),
            msgs: Vec::new(),
            ready: VecDeque::new(),
            arriving: Vec::new(),
            buffer: rng.pick(if heavy {
                &[1_000, 65_536]
            } else {
                &[7, 100, 1_000, 65_536]
            }),
            write_budget: rng.pick(&[600, 512 << 10]),
            jobs: Vec::new(),
            lost_jobs: Vec::new(),
            addresses: vec![
                None,
                Some(IpAddr::from([10, 0, 0, 1])),
                Some(IpAddr::from([10, 0, 0, 2])),
            ],
            ending: None,
            refused: HashSet::new(),
            deaths: Vec::new(),
            entry: 0,
            buried: 0,
            slow_closed: 0,
            hub_changed: 0,
            policy: (0, FullQueue::Drop),
            closed: 0,
            progress: false,
            heavy,
            max_rate,
            max_queue_ever,
            answer_max,
            trace: VecDeque::new(),
            rng,
        }
    }

    fn trace(&mut self, line: String) {
        if self.trace.len() == 60 {
            self.trace.pop_front();
        }
        self.trace.push_back(format!(
            "{} ms, entry {}: {line}",
            self.now.mono_ms, self.entry
        ));
    }

    fn run(&mut self) {
        let crowd = if self.heavy {
            150
        } else {
            if self.rng.chance(3) { 90 } else { 0 }
        };
        for _ in 0..crowd {
            self.come(Script::WebSocket { inited: false });
            self.make(self.peers.len() - 1, 2);
            self.send(self.peers.len() - 1, usize::MAX);
        }
        self.settle();
        let steps = if crowd > 0 {
            50
        } else {
            70 + self.rng.below(80)
        };
        for _ in 0..steps {
            for _ in 0..1 + self.rng.below(3) {
                self.act();
            }
            if self.rng.chance(50) {
                self.turn();
            } else {
                self.settle();
            }
        }
        self.settle();
        if self.rng.chance(50) {
            self.end_by_stop()
        } else {
            self.end_by_silence()
        }
        self.server.hub.check();
        self.server.check();
    }

    /// Turns until nothing is due.
    fn settle(&mut self) {
        let mut idle = 0;
        loop {
            self.progress = false;
            self.turn();
            if !self.is_due()
                && self
                    .peers
                    .iter()
                    .all(|peer| !(peer.is_alive() && (peer.edge_read || peer.edge_write)))
            {
                break;
            }
            idle = if self.progress { 0 } else { idle + 1 };
            assert!(idle < 30, "turns without progress");
        }
        self.check_quiet();
    }

    fn come(&mut self, script: Script) {
        self.arriving.push(self.peers.len());
        self.peers.push(Peer::new(script));
    }

    fn act(&mut self) {
        let choice = self.rng.below(100);
        let at = self.rng.below(self.peers.len());
        if self.peers.is_empty() || choice < 6 {
            let script = self.rng.pick(&[
                Script::Caller,
                Script::Poller,
                Script::WebSocket { inited: false },
                Script::WebSocket { inited: false },
            ]);
            if self.peers.iter().filter(|peer| !peer.dead).count() < 60 || self.heavy {
                self.come(script);
            }
            return;
        }
        match choice {
            6..9 => self.pass(),
            9..11 => self.end(at),
            11 => {
                self.trace(format!("reset {at}"));
                let peer = &mut self.peers[at];
                peer.reset = true;
                (peer.edge_read, peer.edge_write) = (true, true);
                peer.arrived.clear();
            }
            12 => self.peers[at].talks = false,
            13..17 => {
                let room = self.rng.pick(&[0, 1, 30, 500]);
                self.trace(format!("room {at} {room}"));
                self.peers[at].room = room;
            }
            17..21 => self.open(at),
            21 if self.rng.chance(20) => self.server.handle(Input::Reload),
            _ => {
                self.react(at);
                let ops = self.rng.pick(&[0, 1, 1, 2, 5]);
                self.make(at, ops);
                let bytes = match self.rng.below(4) {
                    0 => 1 + self.rng.below(40),
                    1 => 1 + self.rng.below(600),
                    _ => usize::MAX,
                };
                self.send(at, bytes);
            }
        }
    }

    fn make(&mut self, at: usize, ops: usize) {
        let mut world = World {
            rng: &mut self.rng,
            msgs: &mut self.msgs,
            max_body: self.server.settings.max_body,
            heavy: self.heavy,
        };
        for _ in 0..ops {
            if self.peers[at].unsent.len() < 4_000 && self.peers[at].ops.len() < 12 {
                self.peers[at].make(at, &mut world);
            }
        }
    }

    /// The peer's bytes reach the server's socket.
    fn send(&mut self, at: usize, bytes: usize) {
        let peer = &mut self.peers[at];
        if peer.fin || peer.reset || !peer.talks {
            return;
        }
        let bytes = bytes.min(peer.unsent.len());
        peer.arrived.extend(peer.unsent.drain(..bytes));
        peer.edge_read |= bytes > 0;
        let left = peer.unsent.len();
        self.trace(format!("send {at} {bytes}, {left} left"));
    }

    fn end(&mut self, at: usize) {
        self.trace(format!("fin {at}"));
        let peer = &mut self.peers[at];
        (peer.fin, peer.edge_read) = (true, true);
    }

    /// The peer reads again.
    fn open(&mut self, at: usize) {
        let room = self.rng.pick(&[1, 100, 5_000, usize::MAX, usize::MAX]);
        let peer = &mut self.peers[at];
        peer.edge_write |= peer.full;
        peer.room = room.max(peer.room);
        self.trace(format!("open {at} {room}"));
    }

    /// What a peer does about what it read: pongs, and leaving once all is said.
    fn react(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        while peer
            .pings
            .pop_front_if(|end| *end <= peer.written)
            .is_some()
        {
            peer.say(&mut self.rng, 0x8a, b"");
        }
        if peer.is_alive()
            && peer.closing
            && peer.promised.is_empty()
            && !peer.fin
            && self.rng.chance(50)
        {
            self.end(at);
        }
    }

    /// Time passes: a little, to the next deadline, or a jump.
    fn pass(&mut self) {
        let due = self
            .server
            .poll_timeout()
            .unwrap_or(0)
            .saturating_sub(self.now.mono_ms);
        let ms = self
            .rng
            .pick(&[1, 20, 20, 100, 700, 3_000, 40_000, due, due, due]);
        self.wait(ms);
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms;
        self.trace(format!("{ms} ms pass"));
    }

    /// An ordered stop ends in time, and open WebSockets that read are told.
    fn end_by_stop(&mut self) {
        for at in 0..self.peers.len() {
            if self.rng.chance(80) {
                self.open(at);
            }
        }
        self.settle();
        let told: Vec<usize> = (0..self.peers.len())
            .filter(|&at| {
                let conn = self.peers[at].id.and_then(|id| self.server.conn(id));
                self.peers[at].is_open_websocket()
                    && conn.is_some_and(|conn| {
                        let settings = &self.server.settings;
                        let silent =
                            settings.ping_interval_ms == 0 || settings.ping_timeout_ms >= 8_000;
                        let open =
                            matches!(&conn.phase, Phase::WebSocket(ws) if silent && !ws.pinged);
                        open && conn.parked.is_none()
                    })
            })
            .collect();
        let limit = self.now.mono_ms + self.server.settings.shutdown_timeout_ms;
        self.trace("stop".to_owned());
        self.server.handle(Input::Stop);
        self.observe();
        while !self.server.is_stopped() {
            self.settle();
            for at in 0..self.peers.len() {
                if self.peers[at].closing
                    && self.peers[at].room == usize::MAX
                    && !self.peers[at].fin
                {
                    self.end(at);
                }
            }
            if self.rng.chance(20) {
                self.come(Script::Caller);
            }
            let due = self.server.poll_timeout().expect("a stop has a deadline");
            self.wait(due.saturating_sub(self.now.mono_ms));
            self.turn();
        }
        assert!(self.now.mono_ms <= limit + 250, "stopped late");
        if limit > self.now.mono_ms + 250 {
            assert!(self.server.is_empty());
        }
        for at in told {
            let peer = &self.peers[at];
            if self.server.settings.shutdown_timeout_ms >= 1_000 {
                assert!(peer.close_code.is_some(), "{at} was not told");
            }
            assert!(
                peer.close_code
                    .is_none_or(|code| code == 1001 || code == 1008),
                "{at} was told {:?}",
                peer.close_code
            );
        }
    }

    /// Whoever says nothing and takes nothing any more goes, unless it may wait for ever; drops of
    /// input do not keep it alive.
    fn end_by_silence(&mut self) {
        self.arriving.clear();
        let settings = self.server.settings.clone();
        let total = settings.ping_interval_ms * 2
            + settings.ping_timeout_ms
            + settings.head_timeout_ms
            + settings.body_timeout_ms
            + settings.keepalive_timeout_ms
            + settings.write_timeout_ms
            + 40_000;
        let end = self.now.mono_ms + total * 2;
        let drip = (settings.write_timeout_ms / 2).max(total / 200);
        let drippers: Vec<usize> = (0..3).map(|_| self.rng.below(self.peers.len())).collect();
        let mut next_drip = self.now.mono_ms + drip;
        while self.now.mono_ms < end {
            self.settle();
            self.wait(drip.min(total / 60));
            if self.now.mono_ms >= next_drip {
                next_drip += drip;
                for &at in &drippers {
                    self.drip(at);
                }
            }
        }
        for (_, conn) in &self.server.conns {
            let waits = match &conn.phase {
                // The answer of a long poll began it anew.
                Phase::Head { since, .. } => self.now.mono_ms < u64::from(*since) * TICK_MS + total,
                Phase::Poll(poll) => poll.due_ms.is_none_or(|due| due > self.now.mono_ms),
                Phase::WebSocket(_) => {
                    settings.ping_interval_ms == 0 || drippers.contains(&conn.io)
                }
                _ => false,
            };
            let since_ms = self
                .now
                .mono_ms
                .saturating_sub(u64::from(conn.heard) * TICK_MS);
            assert!(
                waits || conn.parked.is_some() || since_ms < total,
                "{} is still in {:?}",
                conn.io,
                conn.phase
            );
        }
    }

    fn drip(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let upgrades = peer
            .ops
            .iter()
            .any(|op| matches!(op.want, peer::Want::Upgrade));
        if peer.fin || peer.reset || !peer.is_alive() || peer.reader.websocket || upgrades {
            return;
        }
        if peer.unsent.is_empty() {
            peer.unsent.extend(b"GET /stat HTTP/1.1\r\nHost: ");
            peer.made = u64::MAX;
        }
        (peer.script, peer.talks) = (Script::Over, true);
        self.send(at, 1);
    }
}

fn settings(rng: &mut Rng, heavy: bool) -> Settings {
    let mut settings = Settings::default();
    settings.max_queue = rng.pick(&[0, 500, 3_000, 65_536]);
    settings.max_queue_total = rng.pick(&[5_000, 100_000, 1 << 28, 1 << 28]);
    settings.full_queue = rng.pick(&[FullQueue::Close, FullQueue::Drop]);
    settings.max_rate = rng.pick(&[0, 0, 0, 3]);
    settings.deflate = rng.chance(70);
    settings.ping_interval_ms = rng.pick(&[0, 500, 5_000, 25_000]);
    settings.ping_timeout_ms = rng.pick(&[50, 1_000, 8_000]);
    settings.head_timeout_ms = rng.pick(&[100, 2_000, 10_000]);
    settings.body_timeout_ms = rng.pick(&[100, 2_000, 30_000]);
    settings.keepalive_timeout_ms = rng.pick(&[100, 5_000, 75_000]);
    settings.write_timeout_ms = rng.pick(&[200, 5_000, 30_000]);
    settings.shutdown_timeout_ms = rng.pick(&[100, 2_000, 10_000]);
    settings.max_connections = rng.pick(&[0, 0, 0, 10]);
    settings.max_connections_per_address = rng.pick(&[0, 0, 0, 5]);
    settings.max_body = if heavy {
        300_000
    } else {
        rng.pick(&[1_024, 5_000, 100_000])
    };
    settings.log_ws = rng.chance(10);
    settings
}

#[track_caller]
fn check(seed: u64) {
    let mut run = Run::new(seed);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run.run())) {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        let steps: Vec<String> = run.trace.into();
        panic!("seed {seed}: {text}\nlast steps:\n{}", steps.join("\n"));
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn seeds() {
    match number("JDSERVER_SEED") {
        Some(seed) => check(seed),
        None => (0..number("JDSERVER_SEEDS").unwrap_or(1_000)).for_each(check),
    }
}
