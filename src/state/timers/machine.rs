//! `Timers`: all state, its turns, what goes in and what comes out. What inputs mean is told in the modules beside
//! this one; nothing here reads a clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::tz::TimeZone;

use crate::call::answer::Answer;
use crate::ids::{ConnId, Now};
use crate::limits::{
    CLOCK_CHECK_MS, DISPATCH_QUEUE_MAX, DUE_PER_TURN, TIMER_ROWS_PER_TURN, TIMERS_PENDING_MAX,
};
use crate::message::{
    Callback, CallbackDone, LATENESS_MS, LogFile, LogLine, StoredTimers, TimerCall, TimerCounters,
    TimerRecord,
};
use crate::proto::logtext::LogTime;
use crate::settings::Settings;
use crate::state::dispatch::Dispatch;
use crate::state::timer_queue::TimerQueue;
use crate::state::timer_queue::id_pages::IdPages;
use crate::state::timers::book::{Book, Shelf};
use crate::state::timers::changes::Op;
use crate::state::timers::clock_steps::{Retiming, Skipped};
use crate::state::timers::fields::Zones;
use crate::state::timers::rows::Listing;
use crate::state::timers::runs::Run;
use crate::state::timers::texts::Texts;

/// What happened.
#[derive(Debug)]
pub enum TimersInput {
    /// A call.
    Call(Box<TimerCall>),
    /// A callback ended.
    CallbackDone(Box<CallbackDone>),
    /// The workers' queue was full.
    CallbackRefused(Box<Callback>),
    /// Every record up to this one is on disk.
    Committed {
        /// Of the last record written.
        seq: u64,
    },
    /// The disk did not take the records from this one on: all given out since are undone.
    Refused {
        /// Of the first record not written.
        seq: u64,
        /// For logs and answers.
        reason: Box<str>,
    },
    /// Settings changed.
    Settings(Box<Settings>),
    /// No new callbacks and no new timers.
    Stop,
}

/// What to do.
#[derive(Debug)]
pub enum TimersOutput {
    /// Answer a call.
    Reply {
        /// The connection that waits.
        to: ConnId,
        /// The answer.
        answer: Answer,
    },
    /// For the disk thread, in this order.
    Record(TimerRecord),
    /// For a worker; one that is refused comes back as [`TimersInput::CallbackRefused`].
    Callback(Box<Callback>),
    /// For a log file.
    Log(LogLine),
}

/// What timers are made with.
#[derive(Debug)]
pub struct TimersSetup {
    /// All settings.
    pub settings: Settings,
    /// The host's zone.
    pub zone: TimeZone,
    /// Finds a zone by name.
    pub zones: Zones,
    /// The start.
    pub now: Now,
    /// What the disk held.
    pub stored: StoredTimers,
    /// Seed of the jitter of retries.
    pub seed: u64,
}

/// All timers.
#[derive(Debug)]
pub struct Timers {
    pub(super) settings: Settings,
    pub(super) zone: TimeZone,
    pub(super) zones: Zones,
    pub(super) now: Now,
    pub(super) log_time: LogTime,
    pub(super) book: Book,
    /// One-shots that are not kept.
    pub(super) texts: Texts,
    /// One-shots, by the monotonic clock.
    pub(super) queue: TimerQueue,
    /// Intervals and looks, by the monotonic clock.
    pub(super) ticks: TimerQueue,
    /// By the wall clock, Unix ms: crontab lines.
    pub(super) wall: TimerQueue,
    pub(super) dispatch: Dispatch,
    pub(super) runs: IdPages<Box<Run>>,
    /// Tokens of runs by when they are lost, or tried again; monotonic ms.
    pub(super) deadlines: BTreeSet<(u64, u32)>,
    /// Timer and token of each run of a kept timer that is not over.
    pub(super) running: BTreeSet<(i64, u32)>,
    pub(super) last_token: u32,
    pub(super) built: usize,
    /// Until when no callback is handed out, for the workers' queue was full.
    pub(super) workers_full_until: Option<u64>,
    pub(super) send_left: usize,
    pub(super) next_id: i64,
    pub(super) next_one_shot_id: i64,
    pub(super) last_version: u32,
    pub(super) next_seq: u64,
    /// Refusals taken.
    pub(super) generation: u32,
    pub(super) committed: u64,
    pub(super) ops: VecDeque<Op>,
    /// Persistent one-shots that failed: fields as JSON, by id.
    pub(super) failed: BTreeMap<i64, Box<str>>,
    /// Periodic timers that are gone and not freed yet.
    pub(super) cleared: Vec<Shelf>,
    /// How often the wall clock was set to a new time.
    pub(super) new_times: u32,
    pub(super) retiming: Option<Retiming>,
    pub(super) skipped: Option<Skipped>,
    pub(super) listings: VecDeque<Listing>,
    pub(super) rows_left: usize,
    pub(super) outputs: VecDeque<TimersOutput>,
    pub(super) counters: TimerCounters,
    pub(super) random: u64,
    pub(super) stopping: bool,
}

impl Timers {
    /// Takes over what was stored: intervals run at once, in the turns to come.
    pub fn new(setup: TimersSetup) -> Self {
        let mut timers = Timers {
            log_time: LogTime::new(setup.zone.clone()),
            settings: setup.settings,
            zone: setup.zone,
            zones: setup.zones,
            now: setup.now,
            book: Book::default(),
            texts: Texts::default(),
            queue: new_queue(),
            ticks: new_queue(),
            wall: new_queue(),
            dispatch: Dispatch::new(DISPATCH_QUEUE_MAX),
            runs: IdPages::default(),
            deadlines: BTreeSet::new(),
            running: BTreeSet::new(),
            last_token: 0,
            built: 0,
            workers_full_until: None,
            send_left: DUE_PER_TURN,
            next_id: setup.stored.next_id.max(1),
            next_one_shot_id: setup.stored.next_one_shot_id.min(-1),
            last_version: 0,
            next_seq: 1,
            generation: 0,
            committed: 0,
            ops: VecDeque::new(),
            failed: BTreeMap::new(),
            cleared: Vec::new(),
            new_times: 0,
            retiming: None,
            skipped: None,
            listings: VecDeque::new(),
            rows_left: TIMER_ROWS_PER_TURN,
            outputs: VecDeque::new(),
            counters: TimerCounters::default(),
            random: setup.seed,
            stopping: false,
        };
        timers.load(setup.stored.timers, setup.stored.failed);
        timers
    }

    /// Begins a turn: notices steps of the wall clock, lets timers come due, goes on with long answers.
    pub fn begin_turn(&mut self, now: Now) {
        let before = std::mem::replace(&mut self.now, now);
        self.send_left = DUE_PER_TURN;
        self.rows_left = TIMER_ROWS_PER_TURN;
        if self
            .workers_full_until
            .is_some_and(|until| until <= now.mono_ms)
        {
            self.workers_full_until = None;
        }
        self.check_clock(before);
        self.continue_retiming();
        if !self.stopping {
            self.handle_due();
        }
        self.handle_deadlines();
        self.send();
        self.continue_listings();
        self.free_cleared();
    }

    /// Tells the time of what comes next: within a turn it goes on, and a call that came late in it waits from then.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// When `wait_ms` from now will have passed, for certain: the present is in whole ms and rounded down.
    pub(super) fn after_ms(&self, wait_ms: u64) -> u64 {
        self.now.mono_ms + wait_ms + 1
    }

    /// Takes what happened, at the time of the turn.
    pub fn handle(&mut self, input: TimersInput) {
        match input {
            TimersInput::Call(call) => self.handle_call(*call),
            TimersInput::CallbackDone(done) => self.handle_done(*done),
            TimersInput::CallbackRefused(callback) => self.handle_refused_callback(*callback),
            TimersInput::Committed { seq } => self.handle_committed(seq),
            TimersInput::Refused { seq, reason } => self.handle_refused(seq, &reason),
            TimersInput::Settings(settings) => self.settings = *settings,
            TimersInput::Stop => self.stopping = true,
        }
        self.send();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<TimersOutput> {
        self.outputs.pop_front()
    }

    /// When to begin the next turn though nothing happened: monotonic ms, not later than that; `None`
    /// for never. A past time means at once.
    pub fn poll_timeout(&self) -> Option<u64> {
        let now_ms = self.now.mono_ms;
        let is_unfinished = !self.listings.is_empty() || !self.cleared.is_empty();
        if !self.outputs.is_empty() || is_unfinished || self.retiming.is_some() {
            return Some(now_ms);
        }
        let deadline = self.deadlines.first().map(|&(at_ms, _)| at_ms);
        if self.stopping {
            return deadline;
        }
        let send = self
            .dispatch
            .is_ready(self.settings.workers)
            .then(|| self.workers_full_until.unwrap_or(now_ms));
        // Only as far as the wall clock can be trusted.
        let wall = self
            .wall
            .next_due()
            .map(|at_ms| now_ms + at_ms.saturating_sub(self.now.unix_ms).min(CLOCK_CHECK_MS));
        let (once, tick) = (self.queue.next_due(), self.ticks.next_due());
        [deadline, send, wall, once, tick]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a stop is complete: every change is on disk, every callback has ended.
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.ops.is_empty() && self.dispatch.out() == 0
    }

    /// What was counted, and how things stand.
    pub fn counters(&mut self) -> &TimerCounters {
        self.counters.pending = self.queue.len() + self.ticks.len() + self.wall.len();
        self.counters.queue_depth = self.dispatch.queued();
        self.counters.busy_workers = self.dispatch.out();
        self.counters.periodic = self.book.periodic();
        self.counters.changes = self.next_seq - 1;
        &self.counters
    }

    /// Counts a callback by how late it is handed out.
    pub(super) fn count_lateness(&mut self, late_ms: u64) {
        let class = LATENESS_MS
            .iter()
            .position(|&bound| late_ms <= bound)
            .unwrap_or(LATENESS_MS.len());
        self.counters.lateness[class] += 1;
        self.counters.lateness_ms += late_ms;
    }

    pub(super) fn output(&mut self, output: TimersOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn reply(&mut self, to: ConnId, answer: Answer) {
        self.output(TimersOutput::Reply { to, answer });
    }

    /// A line of the server's own log.
    pub(super) fn log(&mut self, text: &str) {
        let text = self.log_time.server_line(self.now.unix_ms, text);
        self.output(TimersOutput::Log(LogLine {
            file: LogFile::Server,
            text,
        }));
    }

    /// A line of `trace.log`.
    pub(super) fn trace(&mut self, text: &str) {
        let text = self.log_time.request_line("nil", self.now.unix_ms, text);
        self.output(TimersOutput::Log(LogLine {
            file: LogFile::Trace,
            text,
        }));
    }

    /// The present, Unix s.
    pub(super) fn now_s(&self) -> i64 {
        (self.now.unix_ms / 1_000) as i64
    }

    /// Below `bound`, which is not 0 (a linear congruential generator: jitter needs no more).
    pub(super) fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound.max(1)
    }
}

/// For timers of one kind.
pub(super) fn new_queue() -> TimerQueue {
    TimerQueue::new(TIMERS_PENDING_MAX)
}
