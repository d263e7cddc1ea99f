//! The plugin thread's loop: sleep until a message, a socket or a time comes, hand in what happened, let coroutines
//! run. Decides nothing: [`super::scheduler`] does.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use jiff::tz::TimeZone;
use mio::{Events, Poll, Token};

use crate::clock::Clock;
use crate::limits::{EVENTS_PER_POLL, PLUGIN_MESSAGES_PER_TURN, RETRY_MS};
use crate::mailbox::{self, Inbox};
use crate::message::plugin::{PluginMsg, PluginSources, PluginTable};
use crate::message::{Job, LogLine, ReactorMsg};
use crate::plugin::scheduler::Scheduler;
use crate::plugin::sender::PluginSender;
use crate::plugin::sockets::Sockets;
use crate::settings::Settings;

/// The ways out of the plugin thread.
pub struct Ports {
    /// Hands a message to the reactor; may wait, for the reactor never waits for us.
    pub tell_reactor: Box<dyn Fn(ReactorMsg) + Send>,
    /// Hands a job to a worker without waiting, or gives it back.
    pub submit: Box<dyn Fn(Job) -> Result<(), Job> + Send>,
    /// Hands a line to the disk thread; false when it was dropped, which is counted there.
    pub log: Arc<dyn Fn(LogLine) -> bool + Send + Sync>,
}

/// What the thread is started with.
pub struct PluginSetup {
    /// Its ways out.
    pub ports: Ports,
    /// The settings in force.
    pub settings: Settings,
    /// For dates and log lines.
    pub zone: TimeZone,
    /// The daemon's.
    pub clock: Clock,
    /// Sockets that plugins may have.
    pub sockets_max: usize,
    /// What to load before anything else, and who wants to know how that went.
    pub first: Option<FirstLoad>,
}

/// The load at the daemon's start, which waits for it.
pub struct FirstLoad {
    /// What to load.
    pub sources: PluginSources,
    /// Takes the outcome, once.
    pub outcome: Sender<Result<PluginTable, String>>,
}

const MAILBOX: Token = Token(usize::MAX);

/// Starts the thread, which ends after [`PluginMsg::Stop`]. Errors: no thread or poll can be had.
pub fn spawn(sender: &PluginSender, setup: PluginSetup) -> io::Result<JoinHandle<()>> {
    let poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    let (mailbox, inbox) = mailbox::mailbox(poll.registry(), MAILBOX, None)?;
    let thread = std::thread::Builder::new()
        .name("plugin".to_owned())
        .spawn(move || {
            let clock = setup.clock;
            let sockets = Sockets::new(registry, setup.sockets_max);
            let scheduler = Scheduler::new(setup, sockets);
            PluginThread {
                poll,
                inbox,
                clock,
                scheduler,
            }
            .run();
        })?;
    sender.start(mailbox);
    Ok(thread)
}

struct PluginThread {
    poll: Poll,
    inbox: Inbox<PluginMsg>,
    clock: Clock,
    scheduler: Scheduler,
}

impl PluginThread {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
            self.scheduler.begin_turn(self.clock.now());
            for event in &events {
                if event.token() != MAILBOX {
                    self.scheduler.sockets.handle_event(event);
                }
            }
            self.inbox.clear();
            // What is ready runs before more than a turn's share is taken.
            for _ in 0..PLUGIN_MESSAGES_PER_TURN {
                match self.inbox.poll() {
                    None => break,
                    Some(PluginMsg::Stop) => return,
                    Some(message) => self.scheduler.handle(message),
                }
            }
            self.scheduler.run_turn(self.clock);
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.scheduler.is_busy() || !self.inbox.is_empty() {
            return Some(Duration::ZERO);
        }
        let retry_ms = self.scheduler.sockets.is_starved().then_some(RETRY_MS);
        let now_ms = self.clock.mono_ms();
        let due_ms = self.scheduler.poll_timeout();
        let due_ms = due_ms.map(|due_ms| due_ms.saturating_sub(now_ms));
        let wait_ms = due_ms.into_iter().chain(retry_ms).min();
        wait_ms.map(Duration::from_millis)
    }
}
