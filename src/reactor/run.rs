//! The loop: wait, hand in what happened, do what the server says. One turn fits a screen.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::clock::Clock;
use crate::ids::ConnId;
use crate::limits::{
    ACCEPTS_PER_TURN, EVENTS_PER_POLL, MAILBOX_MAX, READ_BYTES, READS_PER_TURN, RETRY_MS,
    TLS_HANDSHAKES_PER_TURN, WRITE_BYTES_PER_TURN,
};
use crate::mailbox::{self, Inbox, Mailbox};
use crate::message::plugin::PluginMsg;
use crate::message::{Job, LogLine, LogQuery, ReactorMsg, TimerCall};
use crate::proto::tls::TlsConfig;
use crate::reactor::listener::Listener;
use crate::reactor::socket::Socket;
use crate::reactor::tls::Acceptor;
use crate::settings::Settings;
use crate::state::server::{Input, Output, Server};
use crate::supervisor::Supervisor;

type TellSettings = dyn Fn(Box<Settings>) -> Result<(), Box<Settings>>;

/// The ways out of the reactor, none of which may wait.
pub struct Ports {
    /// Hands a job to a worker, or gives it back.
    pub submit: Box<dyn Fn(Job) -> Result<(), Job>>,
    /// Hands a line to the disk thread; false when it was dropped.
    pub log: Box<dyn Fn(LogLine) -> bool>,
    /// Asks the disk thread for the last lines of the logs; false when it has no room.
    pub tail: Box<dyn Fn(Box<LogQuery>) -> bool>,
    /// SIGHUP: log files are to be opened anew.
    pub reopen_logs: Box<dyn Fn()>,
    /// Hands a call to the timer thread; false when it has no room.
    pub ask_timers: Box<dyn Fn(Box<TimerCall>) -> bool>,
    /// Hands a message to the plugin thread, which is started by the first; it always has room. What it gives back is
    /// taken as a message: why it could not be started.
    pub tell_plugins: Box<dyn Fn(PluginMsg) -> Option<ReactorMsg>>,
    /// Tells changed settings to the other threads, or gives them back to be told later.
    pub tell_settings: Box<TellSettings>,
}

/// The thread's state.
pub struct Reactor {
    poll: Poll,
    listeners: Vec<Listener>,
    acceptor: Option<Acceptor>,
    supervisor: Supervisor,
    /// Steps of TLS handshakes that are left for this turn.
    handshakes_left: usize,
    signals: Signals,
    inbox: Inbox<ReactorMsg>,
    ports: Ports,
    server: Server<Socket>,
    clock: Clock,
    buffer: Box<[u8]>,
    /// Connections to read though no edge will come.
    ready: VecDeque<ConnId>,
    /// Listeners that may have more to accept.
    waiting: VecDeque<usize>,
    /// Given up for a moment to tell a peer that descriptors ran out.
    spare: Option<File>,
    /// Descriptors ran out: no event will come for those who wait.
    starved: bool,
    /// Changed settings that the other threads do not know yet.
    untold: Option<Box<Settings>>,
}

/// Why a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// An event: later bytes, or an end, bring another.
    Edge,
    /// An event that said that the peer closed: a short read is not the last.
    Closed,
    /// No event: the edge that told of an end may be spent, so only a refused read is the last.
    Resumed,
}

/// Tokens whose lower half is at least this are not connections.
const SPECIAL: usize = 0xffff_ff00;
const MAILBOX: Token = Token(SPECIAL);
const SIGNALS: Token = Token(SPECIAL + 1);
const LISTENERS: usize = SPECIAL + 2;
const LISTENERS_MAX: usize = 0xffff_ffff - LISTENERS;

fn token(id: ConnId) -> Token {
    Token((id.generation as usize) << 32 | id.key as usize)
}

fn conn_id(token: Token) -> ConnId {
    ConnId {
        key: token.0 as u32,
        generation: (token.0 >> 32) as u32,
    }
}

impl Reactor {
    /// Makes the poll, its mailbox and its signals, and registers the listeners. `make` makes the server and the
    /// ways out, given the way in.
    pub fn new(
        mut listeners: Vec<Listener>,
        tls: Option<TlsConfig>,
        supervisor: Supervisor,
        clock: Clock,
        make: impl FnOnce(Mailbox<ReactorMsg>) -> io::Result<(Server<Socket>, Ports)>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (mailbox, inbox) = mailbox::mailbox(poll.registry(), MAILBOX, Some(MAILBOX_MAX))?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry()
            .register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
        for (at, listener) in listeners.iter_mut().take(LISTENERS_MAX).enumerate() {
            listener.register(poll.registry(), Token(LISTENERS + at))?;
        }
        let (server, ports) = make(mailbox)?;
        let mut acceptor = None;
        if let Some(config) = tls {
            Acceptor::renew(&mut acceptor, config);
        }
        Ok(Reactor {
            poll,
            listeners,
            acceptor,
            supervisor,
            handshakes_left: 0,
            signals,
            inbox,
            ports,
            server,
            clock,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            spare: File::open("/dev/null").ok(),
            starved: false,
            untold: None,
        })
    }

    /// Runs until an ordered stop is complete; `status` says where, for people. Error: `poll` itself failed, which no
    /// input can cause.
    pub fn run(mut self, status: &str) -> io::Result<()> {
        self.supervisor.ready(status);
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !self.server.is_stopped() {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => self.turn(&events),
            }
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        let retry_ms = (self.starved || self.untold.is_some()).then_some(RETRY_MS);
        let due_ms = self.server.poll_timeout();
        let due_ms = due_ms.into_iter().chain(self.supervisor.poll_timeout());
        let due_ms = due_ms
            .min()
            .map(|due_ms| due_ms.saturating_sub(self.clock.mono_ms()));
        due_ms
            .into_iter()
            .chain(retry_ms)
            .min()
            .map(Duration::from_millis)
    }

    fn turn(&mut self, events: &Events) {
        let now = self.clock.now();
        self.server.begin_turn(now);
        self.supervisor.handle_turn(now.mono_ms);
        self.handshakes_left = TLS_HANDSHAKES_PER_TURN;
        for event in events {
            self.handle_event(event);
        }
        for _ in 0..self.ready.len() {
            if let Some(id) = self.ready.pop_front() {
                self.read(id, Cause::Resumed);
            }
        }
        self.inbox.clear();
        while let Some(message) = self.inbox.poll() {
            self.server.handle(Input::Message(message));
        }
        self.accept_waiting();
        while let Some(output) = self.server.poll_output() {
            self.perform(output);
        }
        self.tell_settings();
    }

    fn handle_event(&mut self, event: &Event) {
        match event.token() {
            MAILBOX => {}
            SIGNALS => self.handle_signals(),
            Token(special) if special & 0xffff_ffff >= LISTENERS => {
                self.waiting.push_back(special - LISTENERS)
            }
            token => {
                let id = conn_id(token);
                if event.is_writable() {
                    self.handle_writable(id);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    let closed = event.is_read_closed() || event.is_error();
                    self.read(id, if closed { Cause::Closed } else { Cause::Edge });
                }
            }
        }
    }

    fn handle_writable(&mut self, id: ConnId) {
        if self.acceptor.is_some()
            && let Some(conn) = self.server.connection(id)
            && conn.io.handle_writable().is_err()
        {
            return self.server.handle(Input::Lost(id));
        }
        self.server.handle(Input::Writable(id));
    }

    fn handle_signals(&mut self) {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            match signal {
                SIGHUP => {
                    self.supervisor.reloading();
                    (self.ports.reopen_logs)();
                    self.server.handle(Input::Reload);
                }
                _ => {
                    self.supervisor.stopping();
                    self.listeners.clear();
                    self.server.handle(Input::Stop);
                }
            }
        }
    }

    /// Reads until there is no more, the server wants no more, or the connection's share of the
    /// turn is used up.
    fn read(&mut self, id: ConnId, cause: Cause) {
        for _ in 0..READS_PER_TURN {
            let Some(conn) = self.server.connection(id) else {
                return;
            };
            let is_handshaking = conn.io.is_handshaking();
            if is_handshaking && self.handshakes_left == 0 {
                break;
            }
            if !conn.wants_bytes() {
                // The edge is spent: the server says when to read again.
                if cause == Cause::Closed && conn.is_polling() {
                    self.server.handle(Input::End(id));
                }
                return;
            }
            let room = conn.read_bytes_max().min(self.buffer.len());
            let outcome = conn.io.read(&mut self.buffer[..room]);
            let is_plain = conn.io.is_plain();
            if is_handshaking && conn.io.has_session() {
                self.handshakes_left -= 1;
            }
            match outcome {
                Ok(0) => return self.server.handle(Input::End(id)),
                Ok(n) => {
                    self.server.handle(Input::Bytes(id, &mut self.buffer[..n]));
                    if n < room && is_plain && cause == Cause::Edge {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    return self.server.handle(Input::NotTls(id));
                }
                Err(_) => return self.server.handle(Input::Lost(id)),
            }
        }
        self.ready.push_back(id);
    }

    fn perform(&mut self, output: Output<Socket>) {
        match output {
            Output::Transmit(id, bytes_max) => self.transmit(id, bytes_max),
            Output::Resume(id) => self.ready.push_back(id),
            Output::Shutdown(id) => {
                if let Some(conn) = self.server.connection(id) {
                    // A socket that is gone already tells so when it is read.
                    let _ = conn.io.shutdown_write();
                    self.ready.push_back(id);
                }
            }
            Output::Close(socket) => {
                socket.close();
                if std::mem::take(&mut self.starved) {
                    self.spare = self.spare.take().or_else(|| File::open("/dev/null").ok());
                    self.waiting.extend(0..self.listeners.len());
                }
            }
            Output::Job(job) => {
                if let Err(job) = (self.ports.submit)(job) {
                    self.server.handle(Input::JobRefused(job));
                }
            }
            Output::Log(line) => {
                if !(self.ports.log)(line) {
                    self.server.stats().log_dropped += 1;
                }
            }
            Output::Tail(query) => {
                let reply_to = query.reply_to;
                if !(self.ports.tail)(query) {
                    self.server.handle(Input::TailRefused(reply_to));
                }
            }
            Output::Timer(call) => {
                let id = call.reply_to;
                if !(self.ports.ask_timers)(call) {
                    self.server.handle(Input::TimerRefused(id));
                }
            }
            Output::Plugin(message) => {
                if let Some(answer) = (self.ports.tell_plugins)(message) {
                    self.server.handle(Input::Message(answer));
                }
            }
            Output::Settings(settings) => self.untold = Some(settings),
            Output::Reloaded => self.supervisor.reloaded(),
            Output::Tls(config) => Acceptor::renew(&mut self.acceptor, config),
        }
    }

    /// Settings that a full queue did not take are told later, the newest only.
    fn tell_settings(&mut self) {
        if let Some(settings) = self.untold.take() {
            self.untold = (self.ports.tell_settings)(settings).err();
        }
    }

    /// Writes what waits, until `bytes_max` are written, the socket is full, or others had to wait enough.
    fn transmit(&mut self, id: ConnId, bytes_max: usize) {
        let mut left = bytes_max.min(WRITE_BYTES_PER_TURN);
        loop {
            let Some(conn) = self.server.connection(id) else {
                return;
            };
            let (io, outbound) = (&mut conn.io, &conn.outbound);
            let written = if outbound.is_empty() {
                return;
            } else if outbound.is_many() && outbound.first().len() < self.buffer.len() / 4 {
                // The read buffer is free between reads.
                let room = left.min(self.buffer.len());
                let filled = outbound.gather(&mut self.buffer[..room]);
                io.write(&self.buffer[..filled])
            } else {
                let first = outbound.first();
                io.write(&first[..first.len().min(left)])
            };
            match written {
                Ok(n) => {
                    self.server.advance(id, n);
                    left = left.saturating_sub(n);
                    if left == 0 && bytes_max <= WRITE_BYTES_PER_TURN {
                        return;
                    }
                    if left == 0 {
                        return self.server.postpone(id);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.server.set_blocked(id);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.server.handle(Input::Lost(id)),
            }
        }
    }

    fn accept_waiting(&mut self) {
        if self.starved {
            self.starved = false;
            self.waiting.extend(0..self.listeners.len());
        }
        for _ in 0..self.waiting.len() {
            if let Some(at) = self.waiting.pop_front() {
                self.accept(at);
            }
        }
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.get(at) else {
                return;
            };
            match listener.accept(self.acceptor.as_ref()) {
                Ok((socket, address)) => self.welcome(socket, address),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // One peer that gave up while it waited; the next may be fine.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                Err(_) => return self.starve(at),
            }
        }
        self.waiting.push_back(at);
    }

    fn welcome(&mut self, socket: Socket, address: Option<std::net::IpAddr>) {
        let Ok(id) = self.server.accept(socket, address) else {
            return;
        };
        let registry = self.poll.registry();
        let registered = match self.server.connection(id) {
            Some(conn) => conn.io.register(registry, token(id)),
            None => return,
        };
        if registered.is_err() {
            return self.server.handle(Input::Lost(id));
        }
        // Most peers speak first: their bytes are often there already.
        self.read(id, Cause::Edge);
    }

    /// No descriptor (or memory) is left: the spare one takes the first in the queue, only to turn it away.
    fn starve(&mut self, at: usize) {
        if self.spare.take().is_some()
            && let Some(listener) = self.listeners.get(at)
            && let Ok((mut socket, _)) = listener.accept(self.acceptor.as_ref())
        {
            let _ = socket.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n");
        }
        self.spare = File::open("/dev/null").ok();
        self.starved = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::connection::Connection;

    #[test]
    fn a_token_names_its_connection_and_nothing_special() {
        for id in [
            ConnId {
                key: 0,
                generation: 0,
            },
            ConnId {
                key: 19_999,
                generation: u32::MAX,
            },
        ] {
            assert_eq!(conn_id(token(id)), id);
            assert!(token(id).0 & 0xffff_ffff < SPECIAL);
        }
    }

    // What a plain connection pays for TLS is a null pointer: a socket has two words in a release build.
    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection<[usize; 2]>>() <= 160);
    }
}
