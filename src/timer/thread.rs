//! The timer thread's loop: sleep until a message comes or something is due, hand in what
//! happened, do what the timers say. Decides nothing: [`crate::state::timers`] does.

use std::collections::VecDeque;
use std::io;
use std::thread::JoinHandle;

use crate::call::answer::Answer;
use crate::clock::Clock;
use crate::ids::ConnId;
use crate::limits::{TIMER_COUNTERS_MS, TIMER_MESSAGES_PER_TURN, TIMER_STOP_MS};
use crate::message::{
    Callback, Job, LogLine, ReactorMsg, TimerCounters, TimerMsg, TimerRecord, TimerReply,
};
use crate::state::timers::{Timers, TimersInput, TimersOutput, TimersSetup};
use crate::timer::sender::TimerInbox;

type StoreRecord = dyn Fn(Box<TimerRecord>) -> Result<(), Box<TimerRecord>> + Send;

/// The ways out of the timer thread.
pub struct Ports {
    /// Hands a message to the reactor; may wait, for the reactor never waits for us.
    pub tell_reactor: Box<dyn Fn(ReactorMsg) + Send>,
    /// Hands a record to the disk thread without waiting, or gives it back; then an answer to an earlier one
    /// is sure to come, after which it is offered again.
    pub store: Box<StoreRecord>,
    /// Hands a job to a worker without waiting, or gives it back.
    pub submit: Box<dyn Fn(Job) -> Result<(), Job> + Send>,
    /// Hands a line to the disk thread; false when it was dropped, which is counted there.
    pub log: Box<dyn Fn(LogLine) -> bool + Send>,
}

/// The thread's state.
pub struct TimerThread {
    timers: Timers,
    inbox: TimerInbox,
    ports: Ports,
    clock: Clock,
    /// Records that the disk thread had no room for, in order.
    unsent: VecDeque<Box<TimerRecord>>,
    /// What the reactor knows.
    told: TimerCounters,
    told_ms: u64,
    /// Whether that is no longer so.
    is_untold: bool,
    /// When what is out is no longer waited for, monotonic ms; set by the order to stop.
    stop_ms: Option<u64>,
}

impl TimerThread {
    /// Starts the thread, which ends in order after [`TimerMsg::Stop`], or when nobody can send to it any more.
    /// Errors: no thread can be had.
    pub fn spawn(
        setup: TimersSetup,
        inbox: TimerInbox,
        ports: Ports,
        clock: Clock,
    ) -> io::Result<JoinHandle<()>> {
        let run = move || {
            let thread = TimerThread {
                // Here, so that nothing but calls about timers waits until all that were stored are read.
                timers: Timers::new(setup),
                inbox,
                ports,
                clock,
                unsent: VecDeque::new(),
                told: TimerCounters::default(),
                told_ms: 0,
                is_untold: false,
                stop_ms: None,
            };
            thread.run();
        };
        std::thread::Builder::new()
            .name("timer".to_owned())
            .spawn(run)
    }

    fn run(mut self) {
        loop {
            let first = self.wait();
            let now = self.clock.now();
            self.timers.begin_turn(now);
            self.resend();
            self.perform_all(now.mono_ms);
            if let Some(message) = first {
                self.handle(message, now.mono_ms);
            }
            // What is due is looked at again before more than a turn's share is taken.
            for _ in 0..TIMER_MESSAGES_PER_TURN {
                let Some(message) = self.inbox.try_iter().next() else {
                    break;
                };
                self.timers.set_now(self.clock.now());
                self.handle(message, now.mono_ms);
            }
            self.is_untold = *self.timers.counters() != self.told;
            if self.is_untold && now.mono_ms >= self.told_ms + TIMER_COUNTERS_MS {
                self.tell_counters(now.mono_ms);
            }
            let is_over = self.stop_ms.is_some_and(|stop_ms| stop_ms <= now.mono_ms);
            if is_over || (self.timers.is_stopped() && self.unsent.is_empty()) {
                return;
            }
        }
    }

    /// The next message; `None` when it is time to look at what is due.
    fn wait(&self) -> Option<TimerMsg> {
        let counters_ms = self.is_untold.then_some(self.told_ms + TIMER_COUNTERS_MS);
        let until_ms = self
            .timers
            .poll_timeout()
            .into_iter()
            .chain(counters_ms)
            .chain(self.stop_ms)
            .min();
        let until = until_ms.and_then(|until_ms| self.clock.instant(until_ms));
        self.inbox.recv_until(until)
    }

    fn handle(&mut self, message: TimerMsg, now_ms: u64) {
        self.timers.handle(match message {
            TimerMsg::Call(call) => TimersInput::Call(call),
            TimerMsg::CallbackDone(done) => TimersInput::CallbackDone(done),
            TimerMsg::Committed { seq } => TimersInput::Committed { seq },
            TimerMsg::Refused { seq, reason } => {
                // The timers undo these with the rest.
                self.unsent.clear();
                TimersInput::Refused { seq, reason }
            }
            TimerMsg::Settings(settings) => TimersInput::Settings(settings),
            TimerMsg::Stop => {
                self.stop_ms.get_or_insert(now_ms + TIMER_STOP_MS);
                TimersInput::Stop
            }
        });
        // At once, so that a record never leaves behind the news that it was undone.
        self.perform_all(now_ms);
    }

    /// Offers the records again that the disk thread had no room for.
    fn resend(&mut self) {
        while let Some(record) = self.unsent.pop_front() {
            if !self.store(record) {
                break;
            }
        }
    }

    fn perform_all(&mut self, now_ms: u64) {
        while let Some(output) = self.timers.poll_output() {
            match output {
                TimersOutput::Reply { to, answer } => self.reply(to, answer, now_ms),
                TimersOutput::Record(record) if self.unsent.is_empty() => {
                    self.store(Box::new(record));
                }
                TimersOutput::Record(record) => self.unsent.push_back(Box::new(record)),
                TimersOutput::Callback(callback) => self.submit(callback),
                TimersOutput::Log(line) => {
                    (self.ports.log)(line);
                }
            }
        }
    }

    /// Hands a record to the disk thread; `false`: it waits with us, in front of those that do.
    fn store(&mut self, record: Box<TimerRecord>) -> bool {
        match (self.ports.store)(record) {
            Ok(()) => true,
            Err(record) => {
                self.unsent.push_front(record);
                false
            }
        }
    }

    fn reply(&mut self, reply_to: ConnId, answer: Answer, now_ms: u64) {
        // Whoever has set a timer finds it counted.
        if self.timers.counters().periodic != self.told.periodic {
            self.tell_counters(now_ms);
        }
        let reply = Box::new(TimerReply { reply_to, answer });
        (self.ports.tell_reactor)(ReactorMsg::TimerReply(reply));
    }

    fn submit(&mut self, callback: Box<Callback>) {
        if let Err(Job::Callback(callback)) = (self.ports.submit)(Job::Callback(callback)) {
            self.timers.handle(TimersInput::CallbackRefused(callback));
        }
    }

    fn tell_counters(&mut self, now_ms: u64) {
        self.told = self.timers.counters().clone();
        self.told_ms = now_ms;
        self.is_untold = false;
        let counters = Box::new(self.told.clone());
        (self.ports.tell_reactor)(ReactorMsg::TimerCounters(counters));
    }
}
