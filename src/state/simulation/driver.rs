//! Drives the server exactly as `reactor::run` does, over model sockets. Never judges.

use super::Run;
use crate::call::answer::Data;
use crate::ids::ConnId;
use crate::limits::READS_PER_TURN;
use crate::message::{
    FileDone, Job, JobDone, LogFile, LogLines, ProcessDone, ProcessInfo, ReactorMsg, SettingsDone,
    TailLine, TimerCall, TimerReply,
};
use crate::settings::FileValues;
use crate::state::server::{Input, Output};

/// As `reactor::run` has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Edge,
    Closed,
    Resumed,
}

impl Run {
    /// Whether the next turn is to begin now.
    pub fn is_due(&self) -> bool {
        let due = self.server.poll_timeout();
        !self.ready.is_empty() || due.is_some_and(|due| due <= self.now.mono_ms)
    }

    /// One turn with the events that have gathered.
    pub fn turn(&mut self) {
        self.server.begin_turn(self.now);
        self.observe();
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            let Some(id) = peer.id else { continue };
            let read = std::mem::take(&mut peer.edge_read);
            let write = std::mem::take(&mut peer.edge_write);
            if !(read || write) {
                continue;
            }
            // An event tells all that is true when it is fetched.
            let ended = peer.fin || peer.reset;
            let writable = peer.room > 0 || peer.reset;
            if writable {
                let peer = &mut self.peers[at];
                if std::mem::take(&mut peer.full) {
                    peer.held_up = self.entry;
                }
                self.server.handle(Input::Writable(id));
                self.observe();
            }
            if read || !self.peers[at].arrived.is_empty() || ended {
                self.read(id, if ended { Cause::Closed } else { Cause::Edge });
            }
        }
        for _ in 0..self.ready.len() {
            if let Some(id) = self.ready.pop_front() {
                self.read(id, Cause::Resumed);
            }
        }
        let due = self.now.mono_ms;
        for at in (0..self.jobs.len()).rev() {
            if self.jobs[at].0 <= due {
                let (_, message) = self.jobs.swap_remove(at);
                self.server.handle(Input::Message(message));
                self.observe();
            }
        }
        self.accept_waiting();
        while let Some(output) = self.server.poll_output() {
            self.perform(output);
        }
        self.observe();
    }

    fn read(&mut self, id: ConnId, cause: Cause) {
        for _ in 0..READS_PER_TURN {
            let Some(conn) = self.server.connection(id) else {
                return;
            };
            let at = conn.io;
            let room = self.buffer.min(conn.read_bytes_max());
            if !conn.wants_bytes() {
                if cause == Cause::Closed && conn.is_polling() {
                    self.end_of(at, id);
                }
                return;
            }
            let peer = &mut self.peers[at];
            let len = peer.arrived.len().min(room);
            if peer.reset {
                self.server.handle(Input::Lost(id));
                return self.observe();
            }
            if len == 0 {
                if peer.fin {
                    self.trace(format!("end of {at}"));
                    self.end_of(at, id);
                }
                return;
            }
            let mut bytes: Vec<u8> = peer.arrived.drain(..len).collect();
            peer.handed += len as u64;
            self.progress = true;
            self.server.handle(Input::Bytes(id, &mut bytes));
            self.observe();
            if len < room && cause == Cause::Edge {
                return;
            }
        }
        self.ready.push_back(id);
    }

    fn end_of(&mut self, at: usize, id: ConnId) {
        self.ending = Some(at);
        self.server.handle(Input::End(id));
        self.observe();
        self.ending = None;
    }

    fn perform(&mut self, output: Output<usize>) {
        match output {
            Output::Transmit(id, bytes_max) => self.transmit(id, bytes_max),
            Output::Resume(id) => self.ready.push_back(id),
            Output::Shutdown(id) => {
                if let Some(conn) = self.server.connection(id) {
                    let peer = &mut self.peers[conn.io];
                    assert!(
                        peer.promised.is_empty(),
                        "shut down with bytes in the queue"
                    );
                    peer.shut = true;
                    self.ready.push_back(id);
                }
            }
            Output::Close(at) => {
                self.trace(format!("close {at}"));
                self.peers[at].dead = true;
                self.closed += 1;
            }
            Output::Job(job) => self.take_job(job),
            Output::Timer(call) => self.take_timer_call(*call),
            // There are no plugins.
            Output::Plugin(message) => panic!("{message:?}"),
            Output::Tail(query) => self.take_tail(query.reply_to),
            Output::Tls(config) => panic!("{config:?}"),
            Output::Log(_) | Output::Settings(_) | Output::Reloaded => {}
        }
        self.progress = true;
    }

    fn take_tail(&mut self, reply_to: Option<ConnId>) {
        if self.rng.chance(15) {
            self.server.handle(Input::TailRefused(reply_to));
            return self.observe();
        }
        let after = self.rng.pick(&[0, 0, 5, 300]);
        let line = TailLine {
            number: 7,
            file: LogFile::Trace,
            text: "a line".into(),
        };
        let told = Box::new(LogLines {
            reply_to,
            last: 7,
            lines: vec![line],
        });
        self.jobs
            .push((self.now.mono_ms + after, ReactorMsg::LogLines(told)));
    }

    fn take_job(&mut self, job: Job) {
        if self.rng.chance(15) {
            self.server.handle(Input::JobRefused(job));
            return self.observe();
        }
        let reply_to = job.reply_to();
        let done = match job {
            _ if self.rng.chance(10) => JobDone::Failed { reply_to },
            Job::File(job) => JobDone::File(Box::new(FileDone {
                reply_to: job.reply_to,
                status: self.rng.pick(&[200, 304, 404]),
                mime: "text/html",
                etag: String::new(),
                policy: "",
                body: bytes::Bytes::new(),
            })),
            Job::Process { reply_to } => JobDone::Process(Box::new(ProcessDone {
                reply_to,
                info: ProcessInfo::default(),
            })),
            // The server asks for none.
            job @ (Job::Callback(_) | Job::Task(_) | Job::ApiLog(_)) => job.failed(),
            Job::Settings { reply_to } => {
                let outcome = match self.rng.chance(70) {
                    true => Ok((FileValues::default(), None)),
                    false => Err("no such file".to_owned()),
                };
                JobDone::Settings(Box::new(SettingsDone {
                    reply_to,
                    outcome,
                    sources: Ok(Default::default()),
                }))
            }
        };
        if self.rng.chance(3) {
            self.lost_jobs.extend(reply_to);
        } else {
            let after = self.rng.pick(&[0, 0, 5, 300, 5_000]);
            self.jobs
                .push((self.now.mono_ms + after, ReactorMsg::JobDone(done)));
        }
    }

    fn take_timer_call(&mut self, call: TimerCall) {
        let reply_to = call.reply_to;
        if self.rng.chance(15) {
            self.server.handle(Input::TimerRefused(reply_to));
            return self.observe();
        }
        let after = self.rng.pick(&[0, 0, 5, 300]);
        let answer = Ok(Data::Count(self.rng.pick(&[0, 7])));
        let reply = Box::new(TimerReply { reply_to, answer });
        self.jobs
            .push((self.now.mono_ms + after, ReactorMsg::TimerReply(reply)));
    }

    fn transmit(&mut self, id: ConnId, bytes_max: usize) {
        let mut left = bytes_max.min(self.write_budget);
        loop {
            let Some(conn) = self.server.connection(id) else {
                return;
            };
            if conn.outbound.is_empty() {
                return;
            }
            let at = conn.io;
            let mut gathered = [0; 2_000];
            let waiting = if conn.outbound.is_many() && conn.outbound.first().len() < 500 {
                let filled = conn.outbound.gather(&mut gathered);
                &gathered[..filled]
            } else {
                conn.outbound.first()
            };
            let peer = &mut self.peers[at];
            if peer.reset {
                self.server.handle(Input::Lost(id));
                return self.observe();
            }
            let mut n = waiting.len().min(peer.room).min(left);
            if n == 0 {
                (peer.full, peer.held_up) = (true, self.entry);
                return self.server.set_blocked(id);
            }
            if n > 1 && self.rng.chance(10) {
                n = 1 + self.rng.below(n);
            }
            for byte in &waiting[..n] {
                assert_eq!(
                    peer.promised.pop_front(),
                    Some(*byte),
                    "other bytes than queued"
                );
            }
            peer.room -= if peer.room == usize::MAX { 0 } else { n };
            peer.written += n as u64;
            self.server.advance(id, n);
            self.check_order(at);
            self.after_advance(at);
            left = left.saturating_sub(n);
            if left == 0 && bytes_max <= self.write_budget {
                return;
            }
            if left == 0 {
                self.peers[at].held_up = self.entry;
                return self.server.postpone(id);
            }
        }
    }

    fn accept_waiting(&mut self) {
        for at in std::mem::take(&mut self.arriving) {
            let address = self.addresses[at % self.addresses.len()];
            let refused = self.server.stats.refused;
            match self.server.accept(at, address) {
                Ok(id) => {
                    if self.server.stats.refused > refused {
                        self.refused.insert(at);
                    }
                    self.peers[at].id = Some(id);
                    self.trace(format!("accept {at} as {id:?}"));
                    self.observe();
                    self.read(id, Cause::Edge);
                }
                Err(at) => {
                    self.peers[at].dead = true;
                    self.check_refusal();
                }
            }
        }
    }
}
