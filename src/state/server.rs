//! The heart: takes what happened, decides, and says what to do. No socket, no clock, no thread.
//!
//! ```text
//! accept, handle(Input) ──► http / websocket ──► calls ──► hub, delivery
//!                                                   │
//! poll_output() ◄── closes, jobs, log lines, resumed connections, then connections to flush
//! ```
//!
//! The owner of the sockets calls [`Server::begin_turn`], hands in what happened, drains
//! [`Server::poll_output`], and sleeps no longer than [`Server::poll_timeout`].

use std::collections::{BTreeSet, VecDeque};

use core::net::IpAddr;
use jiff::tz::TimeZone;
use slab::Slab;

use crate::ids::{ConnId, Now};
use crate::limits::{
    HELD_BYTES_MAX, LINGER_BYTES_MAX, LINGER_MS_MAX, REFUSALS_MAX, TICK_MS, WORK_PER_TURN,
};
use crate::message::{Job, JobDone, LogFile, LogLine, TimerCall, TimerCounters, TimerReply};
use crate::proto::deflate::Deflate;
use crate::proto::logtext::LogTime;
use crate::proto::outbound::{Outbound, Spares};
use crate::proto::response::DateCache;
use crate::settings::Settings;
use crate::state::connection::{Connection, Flush, InputState, Phase};
use crate::state::delivery::FlushLists;
use crate::state::hub::Hub;
use crate::state::peers::Peers;
use crate::state::stats::Stats;
use crate::state::sweep::Sweep;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came. They may be changed in place.
    Bytes(ConnId, &'a mut [u8]),
    /// The peer sent its last byte.
    End(ConnId),
    /// The connection broke.
    Lost(ConnId),
    /// The socket takes bytes again.
    Writable(ConnId),
    /// A worker is done.
    JobDone(JobDone),
    /// A job found no place in the workers' queue.
    JobRefused(Job),
    /// The timer thread answers a call.
    TimerReply(TimerReply),
    /// A call of this connection found no place in the timer thread's queue.
    TimerRefused(ConnId),
    /// The timer thread's counters, for `stat`.
    TimerCounters(TimerCounters),
    /// SIGHUP: settings are to be read again.
    Reload,
    /// SIGTERM, SIGINT: an ordered stop.
    Stop,
}

/// What to do.
#[derive(Debug)]
pub enum Output<S> {
    /// Write what [`Server::outbound`] lends, then report [`Server::advance`].
    Transmit(ConnId),
    /// Read again: bytes may have come while nobody wanted them.
    Resume(ConnId),
    /// Shut down the writing half.
    Shutdown(ConnId),
    /// The connection is over; its number is void.
    Close(S),
    /// For a worker; one that is refused comes back as [`Input::JobRefused`].
    Job(Job),
    /// For the timer thread; where that has no room, the connection comes back as [`Input::TimerRefused`].
    Timer(Box<TimerCall>),
    /// For a log file.
    Log(LogLine),
    /// Settings were changed: for all threads that go by them.
    Settings(Box<Settings>),
}

/// What a server is made with.
#[derive(Debug)]
pub struct Setup {
    /// All settings.
    pub settings: Settings,
    /// Connections that open files allow.
    pub connections_max: usize,
    /// Whether files are looked for on disk before the pages in the binary.
    pub static_on_disk: bool,
    /// For times in logs and statistics.
    pub zone: TimeZone,
    /// The start.
    pub now: Now,
}

/// Every connection and everything decided about them.
#[derive(Debug)]
pub struct Server<S> {
    pub(super) conns: Slab<Connection<S>>,
    pub(super) hub: Hub,
    pub(super) peers: Peers,
    pub(super) settings: Settings,
    connections_max: usize,
    pub(super) static_on_disk: bool,
    pub(super) now: Now,
    pub(super) log_time: LogTime,
    pub(super) date: DateCache,
    pub(super) stats: Stats,
    pub(super) lists: FlushLists,
    pub(super) spares: Spares,
    pub(super) deflate: Deflate,
    pub(super) queued_bytes: usize,
    pub(super) held_bytes: usize,
    /// Connections whose call goes on, or whose input is looked at again, next turn.
    pub(super) resume: VecDeque<ConnId>,
    pub(super) polls: BTreeSet<(u64, ConnId)>,
    pub(super) sweep: Sweep,
    pub(super) work_left: u32,
    /// Whether the call being made pushed to many.
    pub(super) wide: bool,
    pub(super) selected: Vec<u32>,
    pub(super) scratch: Vec<u8>,
    outputs: VecDeque<Output<S>>,
    accepted: u32,
}

impl<S> Server<S> {
    /// A server without connections.
    pub fn new(setup: Setup) -> Self {
        let mut log_time = LogTime::new(setup.zone);
        let stats = Stats::new(setup.now, log_time.text(setup.now.unix_ms));
        Server {
            conns: Slab::new(),
            hub: Hub::default(),
            peers: Peers::default(),
            settings: setup.settings,
            connections_max: setup.connections_max,
            static_on_disk: setup.static_on_disk,
            now: setup.now,
            log_time,
            date: DateCache::default(),
            stats,
            lists: FlushLists::default(),
            spares: Spares::default(),
            deflate: Deflate::default(),
            queued_bytes: 0,
            held_bytes: 0,
            resume: VecDeque::new(),
            polls: BTreeSet::new(),
            sweep: Sweep::new(setup.now),
            work_left: WORK_PER_TURN,
            wide: false,
            selected: Vec::new(),
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            accepted: 0,
        }
    }

    /// Begins a turn: renews its share of work, goes on with what was parked, fires deadlines.
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        self.work_left = WORK_PER_TURN;
        self.renew_bulk();
        for _ in 0..self.resume.len() {
            if let Some(id) = self.resume.pop_front() {
                self.resume(id);
            }
        }
        self.handle_deadlines();
    }

    /// Takes a new connection. `address` is `None` on a Unix socket. Beyond the caps it is
    /// answered 503; `Err` gives the socket back when even that would be too many.
    pub fn accept(&mut self, io: S, address: Option<IpAddr>) -> Result<ConnId, S> {
        let per_address = self.settings.max_connections_per_address;
        let max = match self.settings.max_connections {
            0 => self.connections_max,
            max => max.min(self.connections_max),
        };
        let full = self.conns.len() >= max
            || self.is_stopping()
            || (per_address > 0
                && address.is_some()
                && self.peers.connections(address) as usize >= per_address);
        if full && self.conns.len() >= max.saturating_add(REFUSALS_MAX) {
            self.stats.refused += 1;
            return Err(io);
        }
        self.accepted = self.accepted.wrapping_add(1);
        self.stats.accepted += 1;
        let generation = self.accepted;
        let tick = self.tick();
        let key = self.conns.insert(Connection {
            io,
            outbound: Outbound::default(),
            carry: Vec::new(),
            phase: Phase::Head {
                scanned: 0,
                since: tick,
                fresh: true,
            },
            parked: None,
            held: 0,
            generation,
            peer: self.peers.enter(address),
            heard: tick,
            flush_seq: 0,
            flush: Flush::Idle,
            blocked: false,
            input: InputState::Open,
        });
        let id = ConnId {
            key: key as u32,
            generation,
        };
        if full {
            self.stats.refused += 1;
            self.refuse_connection(id);
        }
        Ok(id)
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input<'_>) {
        match input {
            Input::Bytes(id, data) => self.handle_bytes(id, data),
            Input::End(id) => self.handle_end(id),
            Input::Lost(id) => self.handle_lost(id),
            Input::Writable(id) => self.handle_writable(id),
            Input::JobDone(done) => self.handle_job_done(done),
            Input::JobRefused(job) => self.handle_job_refused(&job),
            Input::TimerReply(reply) => self.handle_timer_reply(reply),
            Input::TimerRefused(id) => self.handle_timer_refused(id),
            Input::TimerCounters(counters) => self.stats.timers = counters,
            Input::Reload => self.output(Output::Job(Job::Settings { reply_to: None })),
            Input::Stop => self.stop(),
        }
    }

    /// The next thing to do; connections to flush come last.
    pub fn poll_output(&mut self) -> Option<Output<S>> {
        self.outputs
            .pop_front()
            .or_else(|| self.poll_transmit().map(Output::Transmit))
            // Flushing may have closed the last connections in the way.
            .or_else(|| self.outputs.pop_front())
    }

    /// When to begin the next turn though nothing happened: monotonic ms, not later than that; `None`
    /// for never. A past time means at once.
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.resume.is_empty() || !self.lists.is_idle() || !self.outputs.is_empty() {
            return Some(self.now.mono_ms);
        }
        let poll = self.polls.first().map(|&(due_ms, _)| due_ms);
        let sweep = self.next_sweep_ms();
        poll.into_iter().chain(sweep).min()
    }

    /// A connection, for its socket and its queue.
    pub fn connection(&mut self, id: ConnId) -> Option<&mut Connection<S>> {
        self.conn_mut(id)
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The counters.
    pub fn stats(&mut self) -> &mut Stats {
        &mut self.stats
    }

    pub(super) fn output(&mut self, output: Output<S>) {
        self.outputs.push_back(output);
    }

    pub(super) fn log(&mut self, text: &str) {
        let text = self.log_time.server_line(self.now.unix_ms, text);
        self.output(Output::Log(LogLine {
            file: LogFile::Server,
            text,
        }));
    }

    /// The present in ticks since the start.
    pub(super) fn tick(&self) -> u32 {
        (self.now.mono_ms / TICK_MS) as u32
    }

    pub(super) fn id_of(&self, key: u32) -> Option<ConnId> {
        let conn = self.conns.get(key as usize)?;
        Some(ConnId {
            key,
            generation: conn.generation,
        })
    }

    pub(super) fn conn(&self, id: ConnId) -> Option<&Connection<S>> {
        self.conns
            .get(id.key as usize)
            .filter(|conn| conn.generation == id.generation)
    }

    pub(super) fn conn_mut(&mut self, id: ConnId) -> Option<&mut Connection<S>> {
        live(&mut self.conns, id)
    }

    fn handle_bytes(&mut self, id: ConnId, data: &mut [u8]) {
        self.stats.received_bytes += data.len() as u64;
        let tick = self.tick();
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        conn.heard = tick;
        if let Phase::WebSocket(ws) = &mut conn.phase {
            ws.pinged = false;
        }
        if conn.carry.is_empty() && conn.parked.is_none() {
            let used = self.process(id, data);
            if let Some(conn) = self.conn_mut(id)
                && used < data.len()
            {
                conn.carry.extend_from_slice(&data[used..]);
            }
        } else {
            conn.carry.extend_from_slice(data);
            self.process_carry(id);
        }
        self.account_held(id);
    }

    /// Uses as much of the bytes kept as can be used now.
    pub(super) fn process_carry(&mut self, id: ConnId) {
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        if conn.parked.is_some() || conn.carry.is_empty() {
            return;
        }
        let mut carry = std::mem::take(&mut conn.carry);
        let used = self.process(id, &mut carry);
        if let Some(conn) = self.conn_mut(id)
            && used < carry.len()
        {
            carry.drain(..used);
            conn.carry = carry;
        }
    }

    /// Uses bytes from the front of `data` until they are used up, incomplete, or have to wait.
    fn process(&mut self, id: ConnId, data: &mut [u8]) -> usize {
        let mut used = 0;
        loop {
            let limit = self
                .settings
                .max_queue
                .max(crate::limits::UNREAD_REPLY_BYTES_MAX);
            let Some(conn) = self.conn_mut(id) else {
                return data.len();
            };
            if conn.parked.is_some() {
                return used;
            }
            if conn.outbound.cost() > limit && conn.input == InputState::Open {
                conn.input = InputState::Paused;
                return used;
            }
            let rest = &mut data[used..];
            let step = match &conn.phase {
                Phase::Head { .. } => self.process_head(id, rest),
                Phase::Body(_) => self.process_body(id, rest),
                Phase::WebSocket(_) => self.process_websocket(id, rest),
                Phase::Poll(_) => return used,
                Phase::Lingering { .. } => return used + self.discard(id, rest.len()),
            };
            match step {
                Some(n) if n > 0 => used += n,
                _ => return used,
            }
            if used == data.len() {
                return used;
            }
        }
    }

    /// Input behind an error answer: read so that the answer is not destroyed by a reset.
    fn discard(&mut self, id: ConnId, bytes: usize) -> usize {
        if let Some(Connection {
            phase: Phase::Lingering { left, .. },
            ..
        }) = self.conn_mut(id)
        {
            *left = left.saturating_sub(bytes as u32);
            if *left == 0 {
                self.drop_connection(id);
            }
        }
        bytes
    }

    fn handle_end(&mut self, id: ConnId) {
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        if conn.ends_with_its_peer() || matches!(conn.phase, Phase::Body(_)) {
            return self.handle_lost(id);
        }
        conn.input = InputState::Ended;
        self.settle_end(id);
    }

    /// Closes a connection whose peer sent its last byte once nothing is left to answer.
    pub(super) fn settle_end(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else {
            return;
        };
        if conn.parked.is_some() || matches!(conn.input, InputState::Open | InputState::Paused) {
            return;
        }
        if matches!(conn.phase, Phase::Poll(_))
            || conn.input == InputState::Lost
            || conn.outbound.is_empty()
        {
            self.drop_connection(id);
        } else {
            self.linger(id);
        }
    }

    /// The connection broke: it leaves the hub at once; a call under way still runs.
    fn handle_lost(&mut self, id: ConnId) {
        let mut spares = std::mem::take(&mut self.spares);
        if let Some(conn) = live(&mut self.conns, id) {
            conn.input = InputState::Lost;
            self.queued_bytes -= conn.outbound.cost();
            conn.outbound.clear(&mut spares);
            self.leave_hub(id);
        }
        self.spares = spares;
        self.settle_end(id);
    }

    /// Answers nothing more: sends what waits, then reads and discards for a moment.
    pub(super) fn linger(&mut self, id: ConnId) {
        let until = self.tick() + (LINGER_MS_MAX / TICK_MS) as u32;
        self.leave_hub(id);
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        conn.carry = Vec::new();
        conn.phase = Phase::Lingering {
            left: LINGER_BYTES_MAX,
            until,
            shut: false,
        };
        if conn.input == InputState::Paused {
            conn.input = InputState::Open;
        }
        if conn.outbound.is_empty() {
            self.drained(id);
        }
    }

    /// A queue ran empty: the time to close what only waited for that.
    pub(super) fn drained(&mut self, id: ConnId) {
        let until = self.tick() + (LINGER_MS_MAX / TICK_MS) as u32;
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        let ended = matches!(conn.input, InputState::Ended | InputState::Lost);
        if let Phase::Lingering {
            shut, until: limit, ..
        } = &mut conn.phase
        {
            if ended {
                self.drop_connection(id);
            } else if !*shut {
                (*shut, *limit) = (true, until);
                self.output(Output::Shutdown(id));
            }
        }
    }

    /// Takes a connection out of everything.
    pub(super) fn drop_connection(&mut self, id: ConnId) {
        self.leave_hub(id);
        if self.conn(id).is_none() {
            return;
        }
        let mut conn = self.conns.remove(id.key as usize);
        self.held_bytes -= conn.held;
        self.queued_bytes -= conn.outbound.cost();
        conn.outbound.clear(&mut self.spares);
        self.peers.leave(conn.peer);
        self.stats.closed += 1;
        self.output(Output::Close(conn.io));
    }

    /// Takes a connection out of the hub, if it is there, and logs that.
    pub(super) fn leave_hub(&mut self, id: ConnId) {
        if self.conn(id).is_none() {
            return;
        }
        if let Some((app, user)) = self.hub.member(id.key) {
            let text = format!(
                "[app {}] del user: {} #{}",
                log_name(app),
                log_name(user),
                id.generation
            );
            self.log(&text);
            self.hub.leave(id.key);
        }
        let due = match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::Poll(poll)) => poll.due_ms,
            _ => None,
        };
        if let Some(due_ms) = due {
            self.polls.remove(&(due_ms, id));
        }
    }

    /// Keeps the sum of unfinished input, and refuses the connection that makes it too much.
    pub(super) fn account_held(&mut self, id: ConnId) {
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let (before, after) = (conn.held, conn.held_bytes());
        conn.held = after;
        self.held_bytes = self.held_bytes + after - before;
        if self.held_bytes > HELD_BYTES_MAX && after > before {
            self.refuse_input(id);
        }
    }
}

/// The connection of a number, if that is still the one. A function of the slab alone, so that
/// other fields stay free to use.
pub(super) fn live<S>(conns: &mut Slab<Connection<S>>, id: ConnId) -> Option<&mut Connection<S>> {
    conns
        .get_mut(id.key as usize)
        .filter(|conn| conn.generation == id.generation)
}

/// A name in a log line.
pub(super) fn log_name(name: &str) -> std::borrow::Cow<'_, str> {
    crate::proto::logtext::log_text(name, crate::limits::LOG_TEXT_BYTES_MAX)
}
