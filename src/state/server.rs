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

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use core::net::IpAddr;
use jiff::tz::TimeZone;
use slab::Slab;

use crate::ids::{ConnId, Now};
use crate::limits::{
    LOG_TEXT_BYTES_MAX, REFUSALS_MAX, TICK_MS, WORK_PER_SHARE, WORK_PER_SHARE_MIN, WORK_PER_TURN,
};
use crate::message::plugin::{PluginMsg, PluginTable};
use crate::message::{Job, LogFile, LogLine, LogQuery, ReactorMsg, TimerCall};
use crate::proto::deflate::Deflate;
use crate::proto::logtext::{LogTime, log_text};
use crate::proto::outbound::{Outbound, Spares};
use crate::proto::request::HttpError;
use crate::proto::response::DateCache;
use crate::proto::tls::TlsConfig;
use crate::settings::Settings;
use crate::state::access::Access;
use crate::state::api_log::ApiLog;
use crate::state::calls::{Wait, Work};
use crate::state::connection::{Connection, Flush, InputState, Phase, ReplyAs};
use crate::state::console::Console;
use crate::state::flush::FlushLists;
use crate::state::history::History;
use crate::state::hub::Hub;
use crate::state::peers::Peers;
use crate::state::plugins::Plugins;
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
    /// The peer speaks plain HTTP where only TLS is taken.
    NotTls(ConnId),
    /// The socket takes bytes again.
    Writable(ConnId),
    /// Another thread says something.
    Message(ReactorMsg),
    /// A job found no place in the workers' queue.
    JobRefused(Job),
    /// A call of this connection found no place in the timer thread's queue.
    TimerRefused(ConnId),
    /// A question about the logs found no place in the disk thread's queue; the call that asked, or the consoles.
    TailRefused(Option<ConnId>),
    /// SIGHUP: settings are to be read again.
    Reload,
    /// SIGTERM, SIGINT: an ordered stop.
    Stop,
}

/// What to do.
#[derive(Debug)]
pub enum Output<S> {
    /// Write what waits in [`Connection::outbound`], so many bytes at most, then report [`Server::advance`].
    Transmit(ConnId, usize),
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
    /// For the plugin thread, which is started where there is none. Always has room: what is on its way is bounded.
    Plugin(PluginMsg),
    /// For a log file.
    Log(LogLine),
    /// For the disk thread; where that has no room, [`Input::TailRefused`] comes back.
    Tail(Box<LogQuery>),
    /// Settings were changed: for all threads that go by them.
    Settings(Box<Settings>),
    /// The certificate for connections to come.
    Tls(TlsConfig),
    /// A reload ended, well or not.
    Reloaded,
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
    /// What the loaded plugins handle; `None` without plugins.
    pub plugins: Option<PluginTable>,
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
    pub(super) plugins: Plugins,
    pub(super) api_log: ApiLog,
    pub(super) queued_bytes: usize,
    pub(super) held_bytes: usize,
    /// Connections whose call goes on, or whose input is looked at again, next turn.
    pub(super) resume: VecDeque<ConnId>,
    /// Lost and not settled yet.
    pub(super) lost: Vec<ConnId>,
    pub(super) polls: BTreeSet<(u64, ConnId)>,
    pub(super) sweep: Sweep,
    pub(super) history: History,
    pub(super) console: Console,
    /// Work that may still be done this turn, and of that by the connection at hand.
    work_left: u32,
    pub(super) share_left: u32,
    /// Whether the call being made pushed to many.
    pub(super) wide: bool,
    pub(super) selected: Vec<u32>,
    pub(super) scratch: Vec<u8>,
    outputs: VecDeque<Output<S>>,
    accepted: u32,
    /// Connections beyond the caps that are being told so.
    pub(super) surplus: usize,
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
            plugins: Plugins::new(setup.plugins),
            api_log: ApiLog::default(),
            queued_bytes: 0,
            held_bytes: 0,
            resume: VecDeque::new(),
            lost: Vec::new(),
            polls: BTreeSet::new(),
            sweep: Sweep::new(setup.now),
            history: History::new(setup.now),
            console: Console::default(),
            work_left: WORK_PER_TURN,
            share_left: WORK_PER_SHARE,
            wide: false,
            selected: Vec::new(),
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            accepted: 0,
            surplus: 0,
        }
    }

    /// Begins a turn: renews its share of work, goes on with what was parked, fires deadlines.
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        self.tend_history();
        self.work_left = WORK_PER_TURN;
        self.renew_bulk();
        for _ in 0..self.resume.len() {
            // Half of a turn is for what comes new.
            if self.work_left <= WORK_PER_TURN / 2 {
                break;
            }
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
        let full = self.conns.len() - self.surplus >= max
            || self.is_stopping()
            || (per_address > 0
                && address.is_some()
                && self.peers.connections(address) as usize >= per_address);
        if full && self.surplus >= REFUSALS_MAX {
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
            access: if full {
                Access::Surplus
            } else {
                Access::Stranger
            },
        });
        let id = ConnId {
            key: key as u32,
            generation,
        };
        if full {
            self.surplus += 1;
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
            Input::NotTls(id) => {
                let text = "only https and wss are spoken here";
                self.refuse(id, HttpError { status: 400, text });
            }
            Input::Writable(id) => self.handle_writable(id),
            Input::Message(message) => self.handle_message(message),
            Input::JobRefused(job) => self.handle_job_refused(&job),
            Input::TimerRefused(id) => self.handle_timer_refused(id),
            Input::TailRefused(reply_to) => self.handle_tail_refused(reply_to),
            Input::Reload => self.output(Output::Job(Job::Settings { reply_to: None })),
            Input::Stop => self.stop(),
        }
    }

    fn handle_message(&mut self, message: ReactorMsg) {
        match message {
            ReactorMsg::JobDone(done) => self.handle_job_done(done),
            ReactorMsg::TimerReply(reply) => self.handle_timer_reply(*reply),
            ReactorMsg::TimerCounters(counters) => self.stats.timers = *counters,
            ReactorMsg::LogLines(told) => self.handle_log_lines(&told),
            ReactorMsg::PluginCall(call) => self.handle_plugin_call(*call),
            ReactorMsg::SocketAction(action) => self.handle_socket_action(*action),
            ReactorMsg::EventDone(done) => self.handle_event_done(*done),
            ReactorMsg::PluginsLoaded(loaded) => self.handle_plugins_loaded(*loaded),
        }
    }

    /// The next thing to do; connections to flush come last.
    pub fn poll_output(&mut self) -> Option<Output<S>> {
        self.settle_lost();
        self.outputs
            .pop_front()
            .or_else(|| {
                let (id, bytes_max) = self.poll_transmit()?;
                Some(Output::Transmit(id, bytes_max))
            })
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

    /// Begins the work of one connection. Who comes with something new has a little even where
    /// others have used up the turn.
    pub(super) fn begin_share(&mut self) {
        self.share_left = self.work_left.clamp(WORK_PER_SHARE_MIN, WORK_PER_SHARE);
        // A sender that was closed by its own push left it set.
        self.lists.delivered = false;
    }

    /// Counts work that was done, in units of about 0.1 µs.
    pub(super) fn spend(&mut self, units: u32) {
        self.share_left = self.share_left.saturating_sub(units);
        self.work_left = self.work_left.saturating_sub(units);
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
        self.begin_share();
        let tick = self.tick();
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        // Where answers wait to be taken, only taking them keeps a connection.
        if conn.outbound.is_empty() || matches!(conn.phase, Phase::WebSocket(_)) {
            conn.heard = tick;
        }
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
            let share_left = self.share_left;
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
            if share_left == 0 {
                self.park(id, Work::Input, Wait::Turn, ReplyAs::Nothing);
                return used;
            }
            let rest = &mut data[used..];
            let step = match &conn.phase {
                Phase::Head { .. } => self.process_head(id, rest),
                Phase::Body(_) => self.process_body(id, rest),
                // Its own push found its queue full.
                Phase::WebSocket(_) if conn.input == InputState::Lost => return data.len(),
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
}

#[cfg(any(test, fuzzing))]
impl<S> Server<S> {
    /// Checks that the sums and the indices agree with the connections; for simulations.
    pub fn check(&self) {
        let (mut queued, mut held, mut members) = (0, 0, 0);
        for (key, conn) in &self.conns {
            queued += conn.outbound.cost();
            held += conn.held as usize;
            assert_eq!(conn.held as usize, conn.held_bytes(), "held bytes of {key}");
            if let Some((app, _)) = self.hub.member(key as u32) {
                members += 1;
                assert!(self.hub.count(app) > 0);
                assert!(
                    matches!(conn.phase, Phase::Poll(_) | Phase::WebSocket(_)),
                    "{key} is a member in {:?}",
                    conn.phase
                );
            }
            if let Phase::Poll(poll) = &conn.phase
                && let Some(due_ms) = poll.due_ms
            {
                let id = self.id_of(key as u32).expect("it is there");
                assert!(self.polls.contains(&(due_ms, id)), "{key} is forgotten");
            }
        }
        assert_eq!(
            (queued, held, members),
            (self.queued_bytes, self.held_bytes, self.hub.members_count()),
            "queued bytes, held bytes and members"
        );
        for &(_, id) in &self.polls {
            let polls = self
                .conn(id)
                .is_some_and(|conn| matches!(conn.phase, Phase::Poll(_)));
            assert!(polls, "{id:?} does not poll");
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

/// A name in a log line; the signs that end it there are escaped.
pub(super) fn log_name(name: &str) -> Cow<'_, str> {
    let name = log_text(name, LOG_TEXT_BYTES_MAX);
    if name.contains([']', '#']) {
        return Cow::Owned(name.replace(']', "\\x5d").replace('#', "\\x23"));
    }
    name
}
