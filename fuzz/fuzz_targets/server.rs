//! Sequences of operations on the whole state: peers that come, speak in pieces, read slowly and
//! die; workers that finish, fail or are refused; time that passes.
//!
//! The input is a script, one operation per line: a letter, a peer's number, and the rest.
//!
//! | line | what happens |
//! |---|---|
//! | `a2` | a connection from address 2 (`a0`: a Unix socket) |
//! | `g0TARGET`, `p0TARGET BODY`, `j0TARGET BODY` | peer 0 sends GET, a POST with a form, with JSON |
//! | `u0`, `u0d` | an upgrade, with deflate; `u0e` at `/echo` |
//! | `w0TEXT`, `f0TEXT`, `c0p`, `c0c` | a text message, its first fragment, a ping, a close |
//! | `r0BYTES` | bytes as they are, `~` for CRLF |
//! | `k0N` | all that the peer sends from now on arrives in pieces of N bytes |
//! | `v0N` | the peer's window opens by N bytes (it is endless until its first `v`) |
//! | `e0`, `l0` | the peer ends its side; the connection breaks |
//! | `dTEXT`, `x`, `n` | the oldest job is done (settings: TEXT), failed, was refused |
//! | `h`, `hACTION?QUERY` | the oldest event of plugins ends; before that they make a call |
//! | `tMS`, `s`, `S` | time passes; SIGHUP; an ordered stop |
#![no_main]

use std::collections::VecDeque;
use std::net::IpAddr;

use jdserver::call::answer::Data;
use jdserver::ids::{ConnId, Now};
use jdserver::limits::{WORK_PER_TURN, WRITE_BYTES_PER_TURN};
use jdserver::message::plugin::{
    CallTraces, EventDone, PluginCall, PluginMsg, PluginTable, SessionUse, TaskId,
};
use jdserver::message::{
    FileDone, Job, JobDone, LogFile, LogLines, ProcessDone, ProcessInfo, ReactorMsg, SettingsDone,
    TailLine, TimerReply,
};
use jdserver::proto::form::Form;
use jdserver::settings::{FileValues, Settings};
use jdserver::state::server::{Input, Output, Server, Setup};
use jdserver_fuzz::client_frame;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const PEERS_MAX: usize = 32;
const UPGRADE: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The peer's side of a connection.
struct Peer {
    id: ConnId,
    /// Bytes on their way to the server.
    sent: VecDeque<u8>,
    piece: usize,
    ended: bool,
    /// Bytes it still takes.
    window: usize,
    blocked: bool,
    shut: bool,
    open: bool,
}

struct World {
    server: Server<usize>,
    peers: Vec<Peer>,
    jobs: VecDeque<Job>,
    plugin_messages: VecDeque<PluginMsg>,
    timer_calls: usize,
    now: Now,
}

impl World {
    fn new() -> Self {
        let now = Now {
            mono_ms: 0,
            unix_ms: 1_795_000_000_000,
        };
        let mut settings = Settings::default();
        settings.echo = true;
        let server = Server::new(Setup {
            settings,
            connections_max: 24,
            static_on_disk: true,
            plugins: Some(plugins()),
            zone: TimeZone::UTC,
            now,
        });
        World {
            server,
            peers: Vec::new(),
            jobs: VecDeque::new(),
            plugin_messages: VecDeque::new(),
            timer_calls: 0,
            now,
        }
    }

    fn accept(&mut self, address: u8) {
        if self.peers.len() == PEERS_MAX {
            return;
        }
        let address = (address > 0).then(|| IpAddr::from([10, 0, 0, address]));
        if let Ok(id) = self.server.accept(self.peers.len(), address) {
            self.peers.push(Peer {
                id,
                sent: VecDeque::new(),
                piece: 64 << 10,
                ended: false,
                window: usize::MAX,
                blocked: false,
                shut: false,
                open: true,
            });
        }
    }

    fn send(&mut self, at: usize, bytes: &[u8]) {
        if let Some(peer) = self
            .peers
            .get_mut(at)
            .filter(|peer| peer.open && !peer.ended)
        {
            peer.sent.extend(bytes);
            self.read(at);
        }
    }

    /// The server reads from a peer as long as it wants to, as the reactor does.
    fn read(&mut self, at: usize) {
        loop {
            let Some(peer) = self.peers.get_mut(at).filter(|peer| peer.open) else {
                return;
            };
            let Some(conn) = self.server.connection(peer.id) else {
                return;
            };
            let wants = conn.wants_bytes();
            if peer.sent.is_empty() || !wants {
                if peer.ended && (wants || conn.is_polling()) {
                    self.server.handle(Input::End(peer.id));
                }
                return;
            }
            let len = peer.sent.len().min(peer.piece);
            let mut piece: Vec<u8> = peer.sent.drain(..len).collect();
            self.server.handle(Input::Bytes(peer.id, &mut piece));
        }
    }

    /// Runs turns until the server has nothing more to do at this moment.
    fn settle(&mut self) {
        let mut turns = 0;
        loop {
            self.server.begin_turn(self.now);
            while let Some(output) = self.server.poll_output() {
                self.perform(output);
            }
            self.check();
            if self
                .server
                .poll_timeout()
                .is_none_or(|due_ms| due_ms > self.now.mono_ms)
            {
                return;
            }
            turns += 1;
            assert!(turns < WORK_PER_TURN, "busy although nothing happens");
        }
    }

    fn perform(&mut self, output: Output<usize>) {
        match output {
            Output::Transmit(id, bytes_max) => self.transmit(id, bytes_max),
            Output::Resume(id) => {
                if let Some(at) = self.server.connection(id).map(|conn| conn.io) {
                    self.read(at);
                }
            }
            Output::Shutdown(id) => {
                if let Some(conn) = self.server.connection(id) {
                    assert!(conn.outbound.is_empty(), "shut before all was sent");
                    self.peers[conn.io].shut = true;
                }
            }
            Output::Close(at) => {
                assert!(std::mem::take(&mut self.peers[at].open), "closed twice");
            }
            Output::Job(job) => self.jobs.push_back(job),
            Output::Log(line) => assert!(!line.text.contains(['\n', '\r', '\0'])),
            Output::Timer(call) => {
                // Every second one finds no room; the others are answered at once.
                let reply_to = call.reply_to;
                self.timer_calls += 1;
                let input = match self.timer_calls % 2 {
                    0 => Input::TimerRefused(reply_to),
                    _ => Input::Message(ReactorMsg::TimerReply(Box::new(TimerReply {
                        reply_to,
                        answer: Ok(Data::Rendered("[{\"id\":1}]".into())),
                    }))),
                };
                self.server.handle(input);
            }
            Output::Tail(query) => {
                // As above; a line of all logs, however few were asked for.
                self.timer_calls += 1;
                let (reply_to, last) = (query.reply_to, self.timer_calls as u64);
                let line = TailLine {
                    number: last,
                    file: LogFile::Trace,
                    text: "line".into(),
                };
                let input = match self.timer_calls % 2 {
                    0 => Input::TailRefused(reply_to),
                    _ => Input::Message(ReactorMsg::LogLines(Box::new(LogLines {
                        reply_to,
                        last,
                        lines: vec![line],
                    }))),
                };
                self.server.handle(input);
            }
            Output::Plugin(message) => self.plugin_messages.push_back(message),
            Output::Settings(_) | Output::Tls(_) | Output::Reloaded => {}
        }
    }

    fn transmit(&mut self, id: ConnId, bytes_max: usize) {
        let (mut left, mut buffer) = (bytes_max.min(WRITE_BYTES_PER_TURN), [0; 4 << 10]);
        while let Some(conn) = self.server.connection(id) {
            if conn.outbound.is_empty() {
                return;
            }
            let waiting = conn.outbound.gather(&mut buffer);
            let peer = &mut self.peers[conn.io];
            assert!(peer.open && !peer.shut, "written to after its end");
            let written = waiting.min(peer.window).min(left);
            if written == 0 {
                peer.blocked = true;
                return self.server.set_blocked(id);
            }
            if peer.window < usize::MAX {
                peer.window -= written;
            }
            self.server.advance(id, written);
            left -= written;
            if left == 0 && bytes_max <= WRITE_BYTES_PER_TURN {
                return;
            }
            if left == 0 {
                return self.server.postpone(id);
            }
        }
    }

    fn open_window(&mut self, at: usize, bytes: usize) {
        let Some(peer) = self.peers.get_mut(at).filter(|peer| peer.open) else {
            return;
        };
        peer.window = match peer.window {
            usize::MAX => bytes,
            window => window + bytes,
        };
        if peer.window > 0 && std::mem::take(&mut peer.blocked) {
            self.server.handle(Input::Writable(peer.id));
        }
    }

    /// The oldest event of plugins ends, after a call on its behalf where `call` names one.
    fn finish_event(&mut self, call: &str) {
        let Some(PluginMsg::Event(event)) = self.plugin_messages.pop_front() else {
            return;
        };
        let on_behalf = event.ticket;
        if let Some((action, query)) = call.split_once('?') {
            let message = ReactorMsg::PluginCall(Box::new(PluginCall {
                task: TaskId(1),
                on_behalf,
                action: action.into(),
                get: Form::parse(query.as_bytes()).into_value(),
                post: Value::Null,
            }));
            self.server.handle(Input::Message(message));
        }
        let done = EventDone {
            ticket: on_behalf,
            answer: Ok(Data::Null),
            traces: CallTraces {
                headers: vec![("X-A".into(), "1".into())],
                session: Some(Box::new(SessionUse {
                    id: "1".into(),
                    user: Some(7),
                    cookie: Some("userid=1".into()),
                })),
            },
        };
        let message = ReactorMsg::EventDone(Box::new(done));
        self.server.handle(Input::Message(message));
    }

    fn finish_job(&mut self, done: impl FnOnce(Job) -> JobDone) {
        if let Some(job) = self.jobs.pop_front() {
            self.server
                .handle(Input::Message(ReactorMsg::JobDone(done(job))));
        }
    }

    fn pass_time(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms;
    }

    /// What holds between any two turns.
    fn check(&mut self) {
        let open = self.peers.iter().filter(|peer| peer.open).count();
        assert_eq!(self.server.len(), open);
        self.server.check();
        for (at, peer) in self.peers.iter().enumerate() {
            let io = self.server.connection(peer.id).map(|conn| conn.io);
            assert_eq!(
                io,
                peer.open.then_some(at),
                "a number that means another connection"
            );
        }
    }

    /// An ordered stop ends within its limit, whatever was under way; no job is forgotten.
    fn stop(mut self) {
        self.server.handle(Input::Stop);
        for _ in 0..2_000 {
            self.settle();
            if self.server.is_stopped() {
                return;
            }
            self.finish_job(|job| JobDone::Failed {
                reply_to: job.reply_to(),
            });
            self.finish_event("");
            self.pass_time(250);
        }
        panic!("an ordered stop that does not end");
    }
}

fn post(kind: &str, rest: &str) -> Vec<u8> {
    let (target, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let len = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n{body}").into_bytes()
}

fn upgrade(rest: &str) -> Vec<u8> {
    let path = if rest.contains('e') { "/echo" } else { "/" };
    let extension = if rest.contains('d') {
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    } else {
        ""
    };
    format!("GET {path} HTTP/1.1\r\n{UPGRADE}{extension}\r\n").into_bytes()
}

fn file_done(job: Job, text: &str) -> JobDone {
    match job {
        Job::File(job) => JobDone::File(Box::new(FileDone {
            reply_to: job.reply_to,
            status: if text.is_empty() { 404 } else { 200 },
            mime: "text/plain",
            etag: String::new(),
            policy: "",
            body: text.as_bytes().to_vec().into(),
        })),
        Job::Process { reply_to } => JobDone::Process(Box::new(ProcessDone {
            reply_to,
            info: ProcessInfo::default(),
        })),
        job @ (Job::Callback(_) | Job::Task(_) | Job::ApiLog(_)) => job.failed(),
        Job::Settings { reply_to } => JobDone::Settings(Box::new(SettingsDone {
            reply_to,
            outcome: FileValues::parse(text)
                .map(|values| (values, None))
                .map_err(|error| error.to_string()),
            sources: Ok(Default::default()),
        })),
    }
}

/// What the plugins of this world handle.
fn plugins() -> PluginTable {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    PluginTable {
        calls: names(&["Obj.get", "hook"]),
        objects: names(&["Obj"]),
        shapes: names(&["mine"]),
        default_shape: None,
        events: [names(&["p"]), names(&["p"]), names(&["p"]), names(&["p"])],
    }
}

fn number(text: &str, max: u64) -> u64 {
    text.parse().unwrap_or(0).min(max)
}

fn operate(world: &mut World, line: &str) {
    let mut chars = line.chars();
    let operation = chars.next().unwrap_or('t');
    let rest = chars.as_str();
    match operation {
        'd' => return world.finish_job(|job| file_done(job, rest)),
        'x' => {
            return world.finish_job(|job| JobDone::Failed {
                reply_to: job.reply_to(),
            });
        }
        'n' => {
            if let Some(job) = world.jobs.pop_front() {
                world.server.handle(Input::JobRefused(job));
            }
            return;
        }
        'h' => return world.finish_event(rest),
        't' => return world.pass_time(number(rest, 200_000)),
        's' => return world.server.handle(Input::Reload),
        'S' => return world.server.handle(Input::Stop),
        _ => {}
    }
    let at = chars.next().and_then(|c| c.to_digit(36)).unwrap_or(0) as usize;
    let rest = chars.as_str();
    let masked = |first| client_frame(first, rest.as_bytes(), [1, 2, 3, 4]);
    match operation {
        'a' => world.accept(at as u8),
        'g' => world.send(
            at,
            format!("GET {rest} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        ),
        'p' => world.send(at, &post("application/x-www-form-urlencoded", rest)),
        'j' => world.send(at, &post("application/json", rest)),
        'u' => world.send(at, &upgrade(rest)),
        'w' => world.send(at, &masked(0x81)),
        'f' => world.send(at, &masked(0x01)),
        'c' if rest.starts_with('c') => world.send(at, &client_frame(0x88, &[3, 0xe8], [0; 4])),
        'c' => world.send(at, &masked(0x89)),
        'r' => world.send(at, rest.replace('~', "\r\n").as_bytes()),
        'k' => {
            if let Some(peer) = world.peers.get_mut(at) {
                peer.piece = number(rest, 64 << 10).max(1) as usize;
            }
        }
        'v' => world.open_window(at, number(rest, 1 << 20) as usize),
        'e' => {
            if let Some(peer) = world.peers.get_mut(at) {
                peer.ended = true;
                world.read(at);
            }
        }
        'l' => {
            if let Some(peer) = world.peers.get_mut(at).filter(|peer| peer.open) {
                peer.ended = true;
                peer.sent.clear();
                world.server.handle(Input::Lost(peer.id));
            }
        }
        _ => {}
    }
}

fuzz_target!(|script: &str| {
    let mut world = World::new();
    for line in script.lines().take(256) {
        operate(&mut world, line);
        // An empty line is no pause: several things happen in one turn.
        if !line.ends_with(' ') {
            world.settle();
        }
    }
    world.settle();
    world.stop();
});
