//! Timers in virtual time: what calls answer, when callbacks go out, what is stored. No clock, no socket.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::call::answer::{self, Answer};
use crate::ids::{ConnId, Now};
use crate::limits::{CALLBACK_LOST_MS, DISPATCH_RETRY_MS, DUE_PER_TURN};
use crate::message::{
    Callback, CallbackDone, LogFile, StoredTimers, TimerCall, TimerChange, TimerKey, TimerRecord,
    TimerRequest,
};
use crate::settings::{Overlap, Settings};
use crate::state::timers::{Timers, TimersInput, TimersOutput, TimersSetup};

mod changes;
mod runs;
mod schedule;

/// 2026-11-22 00:00:00 UTC.
pub const MIDNIGHT_MS: u64 = 1_795_305_600_000;

/// Central Europe by its rule, for tests of the zone option.
fn zones(name: &str) -> Option<TimeZone> {
    (name == "Europe/Paris")
        .then(|| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a right rule"))
}

/// Timers with a disk and workers that a test plays.
pub struct Rig {
    pub timers: Timers,
    pub now: Now,
    /// Handed out and not ended: with the time they were.
    pub out: VecDeque<(Now, Callback)>,
    pub records: Vec<TimerRecord>,
    /// Whether the disk takes records at once.
    pub commits: bool,
    pub replies: Vec<(ConnId, Answer)>,
    pub trace: Vec<String>,
    pub log: Vec<String>,
    calls: u32,
}

pub fn setup(now: Now, stored: StoredTimers) -> TimersSetup {
    TimersSetup {
        settings: Settings::default(),
        zone: TimeZone::UTC,
        zones,
        now,
        stored,
        seed: 7,
    }
}

impl Rig {
    pub fn new() -> Rig {
        Rig::with(
            Now {
                mono_ms: 5_000,
                unix_ms: MIDNIGHT_MS,
            },
            StoredTimers::default(),
        )
    }

    pub fn with(now: Now, stored: StoredTimers) -> Rig {
        let mut rig = Rig {
            timers: Timers::new(setup(now, stored)),
            now,
            out: VecDeque::new(),
            records: Vec::new(),
            commits: true,
            replies: Vec::new(),
            trace: Vec::new(),
            log: Vec::new(),
            calls: 0,
        };
        rig.turn();
        rig
    }

    pub fn turn(&mut self) {
        self.timers.begin_turn(self.now);
        self.drain();
    }

    pub fn handle(&mut self, input: TimersInput) {
        self.timers.handle(input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.timers.poll_output() {
            match output {
                TimersOutput::Reply { to, answer } => self.replies.push((to, answer)),
                TimersOutput::Record(record) => {
                    let seq = record.seq;
                    self.records.push(record);
                    if self.commits {
                        self.timers.handle(TimersInput::Committed { seq });
                    }
                }
                TimersOutput::Callback(callback) => self.out.push_back((self.now, *callback)),
                TimersOutput::Log(line) if line.file == LogFile::Trace => {
                    self.trace.push(line.text);
                }
                TimersOutput::Log(line) => self.log.push(line.text),
            }
        }
    }

    /// Both clocks go on; a turn at every time that is asked for.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        loop {
            let at = self
                .timers
                .poll_timeout()
                .map_or(end, |at| at.clamp(self.now.mono_ms, end));
            self.now.unix_ms += at - self.now.mono_ms;
            self.now.mono_ms = at;
            self.turn();
            let is_more = self
                .timers
                .poll_timeout()
                .is_some_and(|next| next <= self.now.mono_ms);
            if at == end && !is_more {
                return;
            }
        }
    }

    /// The answer as JSON; null where there is none yet.
    pub fn call(&mut self, request: TimerRequest) -> Value {
        self.calls += 1;
        let to = ConnId {
            key: self.calls,
            generation: 0,
        };
        self.handle(TimersInput::Call(Box::new(TimerCall {
            reply_to: to,
            request,
        })));
        // A long answer takes some turns, one that waits for the disk none.
        for _ in 0..100 {
            if !self.timers.listings.is_empty() {
                self.turn();
            }
        }
        self.reply_to(to)
    }

    pub fn reply_to(&self, to: ConnId) -> Value {
        self.replies
            .iter()
            .find(|(conn, _)| *conn == to)
            .map_or(Value::Null, |(_, answer)| answer::to_value(answer.clone()))
    }

    pub fn set(&mut self, fields: Value) -> Value {
        self.call(TimerRequest::Set(
            fields.as_object().cloned().expect("an object"),
        ))
    }

    pub fn rows(&mut self) -> Vec<Value> {
        match self.call(TimerRequest::Query {
            text: "".into(),
            limit: usize::MAX,
        }) {
            Value::Array(mut answer) => match answer.pop() {
                Some(Value::Array(rows)) => rows,
                other => panic!("no rows: {other:?}"),
            },
            other => panic!("no answer: {other}"),
        }
    }

    /// Ends the first callback that is out.
    pub fn end(&mut self, outcome: Result<(u16, &str), &str>) {
        let (_, callback) = self.out.pop_front().expect("a callback");
        self.end_one(&callback, outcome);
    }

    pub fn end_one(&mut self, callback: &Callback, outcome: Result<(u16, &str), &str>) {
        self.handle(TimersInput::CallbackDone(Box::new(CallbackDone {
            timer: callback.timer,
            version: callback.version,
            host: callback.request.host.clone(),
            timed_out: outcome == Err("timeout"),
            outcome: outcome
                .map(|(status, body)| (status, body.into()))
                .map_err(Into::into),
            took_ms: 12,
        })));
    }

    /// Ends all that are out with 200.
    pub fn end_all(&mut self) -> usize {
        let mut count = 0;
        while !self.out.is_empty() {
            self.end(Ok((200, "OK")));
            count += 1;
        }
        count
    }

    /// URLs and Unix s of what went out since the last time, all ended with 200.
    pub fn fired(&mut self) -> Vec<(String, i64)> {
        let mut fired = Vec::new();
        while let Some((now, callback)) = self.out.front() {
            fired.push((
                callback
                    .request
                    .url
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                (now.unix_ms / 1_000) as i64 - (MIDNIGHT_MS / 1_000) as i64,
            ));
            self.end(Ok((200, "OK")));
        }
        fired
    }

    fn step_clock(&mut self, seconds: i64) {
        self.now.unix_ms = self.now.unix_ms.saturating_add_signed(seconds * 1_000);
    }
}

fn times(fired: &[(String, i64)]) -> Vec<i64> {
    fired.iter().map(|(_, at)| *at).collect()
}

fn id_of(answer: &Value) -> i64 {
    assert_eq!(answer[0], 0, "{answer}");
    answer[1].as_i64().expect("an id")
}

fn key(id: i64) -> TimerKey {
    TimerKey::Id(id)
}

fn code(code: &str) -> TimerKey {
    TimerKey::Code(code.to_owned())
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}
