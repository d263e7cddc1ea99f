//! One server by hand: connections that speak, what they are sent in order, time that passes.

use jiff::tz::TimeZone;

use super::wire::{Rng, frame};
use crate::ids::{ConnId, Now};
use crate::message::plugin::{PluginMsg, PluginTable};
use crate::message::{Job, LogLine, LogQuery};
use crate::settings::Settings;
use crate::state::server::{Input, Output, Server, Setup};

pub(super) const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server and its surroundings.
pub(in crate::state) struct Bench {
    pub server: Server<()>,
    pub now: Now,
    /// What plugins were told, oldest first.
    pub told: Vec<PluginMsg>,
    /// What the disk thread was asked, oldest first.
    pub asked: Vec<LogQuery>,
    /// Jobs for workers, oldest first.
    pub jobs: Vec<Job>,
    /// Lines for log files, oldest first.
    pub lines: Vec<LogLine>,
}

impl Bench {
    pub fn new(set: impl FnOnce(&mut Settings)) -> Self {
        Self::with_plugins(set, None)
    }

    pub fn with_plugins(set: impl FnOnce(&mut Settings), plugins: Option<PluginTable>) -> Self {
        let (mut settings, now) = (Settings::default(), Now::default());
        set(&mut settings);
        let setup = Setup {
            settings,
            connections_max: 100,
            static_on_disk: false,
            plugins,
            zone: TimeZone::UTC,
            now,
        };
        let server = Server::new(setup);
        Bench {
            server,
            now,
            told: Vec::new(),
            asked: Vec::new(),
            jobs: Vec::new(),
            lines: Vec::new(),
        }
    }

    pub fn accept(&mut self) -> ConnId {
        self.server.accept((), None).expect("there is room")
    }

    pub fn send(&mut self, id: ConnId, bytes: &[u8]) {
        self.server.handle(Input::Bytes(id, &mut bytes.to_vec()));
    }

    pub fn say(&mut self, id: ConnId, texts: &[&str]) {
        let frames = texts
            .iter()
            .map(|text| frame(&mut Rng(1), 0x81, text.as_bytes()));
        self.send(id, &frames.collect::<Vec<_>>().concat());
    }

    pub fn user(&mut self, user: &str) -> ConnId {
        self.user_of("a", user)
    }

    pub fn user_of(&mut self, app: &str, user: &str) -> ConnId {
        let id = self.accept();
        self.send(id, UPGRADE);
        let init = format!(r#"{{"ac":"init","app":"{app}","user":"{user}"}}"#);
        self.say(id, &[&init]);
        id
    }

    pub fn push(&mut self, from: ConnId, users: &[&str]) {
        let texts = users
            .iter()
            .map(|user| format!(r#"{{"ac":"push","app":"a","user":"{user}","msg":"hello"}}"#));
        let texts: Vec<String> = texts.collect();
        self.say(from, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// What is sent, in order, when every socket takes everything but those named.
    pub fn flush(&mut self, stuck: &[ConnId]) -> Vec<(ConnId, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            let (id, bytes_max) = match output {
                Output::Transmit(id, bytes_max) => (id, bytes_max),
                Output::Plugin(message) => {
                    self.told.push(message);
                    continue;
                }
                Output::Tail(query) => {
                    self.asked.push(*query);
                    continue;
                }
                Output::Job(job) => {
                    self.jobs.push(job);
                    continue;
                }
                Output::Log(line) => {
                    self.lines.push(line);
                    continue;
                }
                _ => continue,
            };
            if stuck.contains(&id) {
                self.server.set_blocked(id);
                continue;
            }
            let Some(conn) = self.server.connection(id) else {
                continue;
            };
            let mut bytes = vec![0; conn.outbound.bytes().min(bytes_max)];
            let filled = conn.outbound.gather(&mut bytes);
            bytes.truncate(filled);
            self.server.advance(id, filled);
            sent.push((id, bytes));
        }
        sent
    }

    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.server.begin_turn(self.now);
    }
}
