//! Placeholder of the timers' decisions.
#![allow(missing_docs)]
use crate::call::answer::Answer;
use crate::ids::*;
use crate::message::*;
use crate::settings::Settings;
use jiff::tz::TimeZone;
#[derive(Debug)]
pub struct TimersSetup {
    pub settings: Settings,
    pub stored: StoredTimers,
    pub zone: TimeZone,
    pub now: Now,
    pub zones: fn(&str) -> Option<TimeZone>,
    pub seed: u64,
}
#[derive(Debug)]
pub struct Timers(TimerCounters);
#[derive(Debug)]
pub enum TimersInput {
    Call(Box<TimerCall>),
    CallbackDone(Box<CallbackDone>),
    CallbackRefused(Box<Callback>),
    Committed { seq: u64 },
    Refused { seq: u64, reason: Box<str> },
    Settings(Box<Settings>),
    Stop,
}
#[derive(Debug)]
pub enum TimersOutput {
    Reply { to: ConnId, answer: Answer },
    Record(TimerRecord),
    Callback(Box<Callback>),
    Log(LogLine),
}
impl Timers {
    pub fn new(_: TimersSetup) -> Self {
        Timers(TimerCounters::default())
    }
    pub fn begin_turn(&mut self, _: Now) {}
    pub fn handle(&mut self, _: TimersInput) {}
    pub fn poll_output(&mut self) -> Option<TimersOutput> {
        None
    }
    pub fn poll_timeout(&self) -> Option<u64> {
        None
    }
    pub fn is_stopped(&self) -> bool {
        true
    }
    pub fn counters(&self) -> TimerCounters {
        self.0.clone()
    }
}
