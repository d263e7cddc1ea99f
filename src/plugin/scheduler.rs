//! Runs coroutines: begins one for each handler and call, resumes it with what it waited for, ends it at its
//! deadline, and answers whoever waits for it. What a coroutine may wait for is in [`super::execute`].

use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use mlua::{Function, MultiValue};

use crate::call::error::CallError;
use crate::clock::Clock;
use crate::ids::{ConnId, Now};
use crate::limits::{
    PLUGIN_FREE_COROUTINES_MAX, PLUGIN_LOG_BYTES_MAX, PLUGIN_REFUSED_TOLD_MS,
    PLUGIN_RUN_MS_PER_TURN,
};
use crate::message::plugin::{PluginEvent, PluginLoad, PluginMsg, TaskId};
use crate::message::{LogFile, LogLine};
use crate::plugin::http::HttpQueue;
use crate::plugin::lib::host::Host;
use crate::plugin::loads::Loads;
use crate::plugin::local_timers::LocalTimers;
use crate::plugin::lookups::Lookups;
use crate::plugin::program::Program;
use crate::plugin::purpose::{Purpose, Resume, Task, Waits};
use crate::plugin::results::values;
use crate::plugin::socket_ops::Services;
use crate::plugin::sockets::Sockets;
use crate::plugin::task::Step;
use crate::plugin::tasks::{Due, TaskKey, Tasks};
use crate::plugin::thread::{FirstLoad, PluginSetup, Ports};
use crate::proto::logtext::{LogTime, log_text};
use crate::settings::Settings;

/// The plugin thread's state.
pub struct Scheduler {
    pub(super) ports: Ports,
    pub(super) settings: Settings,
    pub(super) now: Now,
    pub(super) log_time: LogTime,
    /// What the functions of plugins need.
    pub(super) host: Rc<Host>,
    /// Who waits for the end of a batch's transaction, by the name of its job.
    pub(super) ends: HashMap<TaskId, Option<ConnId>>,
    pub(super) transactions: u64,
    /// What new events go to; `None` before the first load.
    pub(super) program: Option<Rc<Program>>,
    /// Programs that were replaced, for as long as something of them runs.
    pub(super) old: VecDeque<Weak<Program>>,
    pub(super) loads: Loads,
    pub(super) tasks: Tasks<Task, Resume>,
    /// How many of them nobody waits for.
    free: usize,
    /// What other threads have of coroutines, by wait, and all together, bytes.
    pub(super) handed: HashMap<TaskId, usize>,
    pub(super) handed_bytes: usize,
    pub(super) lookups: Lookups,
    pub(super) http: HttpQueue,
    /// The sockets of plugins.
    pub sockets: Sockets,
    pub(super) services: Services,
    pub(super) timers: LocalTimers,
    /// Connections whose message is being handled, and their end, which waits for that.
    pub(super) busy: HashMap<u64, Option<Box<PluginEvent>>>,
    /// Timers and sockets that got no coroutine since that was told last, and when it may be told again.
    refused: (u64, u64),
}

impl Scheduler {
    /// Without plugins; the first load begins at once, where there is one.
    pub fn new(setup: PluginSetup, sockets: Sockets) -> Self {
        let log = Arc::clone(&setup.ports.log);
        let host = Host::new(
            setup.clock,
            setup.zone.clone(),
            setup.settings.clone(),
            Rc::new(move |line| log(line)),
        );
        let mut scheduler = Scheduler {
            ports: setup.ports,
            settings: setup.settings,
            host,
            now: setup.clock.now(),
            log_time: LogTime::new(setup.zone),
            ends: HashMap::new(),
            transactions: 0,
            program: None,
            old: VecDeque::new(),
            loads: Loads::default(),
            tasks: Tasks::default(),
            free: 0,
            handed: HashMap::new(),
            handed_bytes: 0,
            lookups: Lookups::default(),
            http: HttpQueue::default(),
            sockets,
            services: Services::default(),
            timers: LocalTimers::default(),
            busy: HashMap::new(),
            refused: (0, 0),
        };
        if let Some(FirstLoad { sources, outcome }) = setup.first {
            let settings = Box::new(scheduler.settings.clone());
            let load = PluginLoad {
                reply_to: None,
                sources,
                settings,
            };
            scheduler.load(load, Some(outcome));
        }
        scheduler
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        self.host.set_settings(settings.clone());
        self.settings = settings;
    }

    /// Begins a turn.
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        self.sockets.retry();
    }

    /// Takes a message.
    pub fn handle(&mut self, message: PluginMsg) {
        match message {
            PluginMsg::Load(load) => self.load(*load, None),
            PluginMsg::Event(event) => self.handle_event(event),
            PluginMsg::CallDone { task, answer } => self.handle_call_done(task, *answer),
            PluginMsg::TaskDone(done) => self.handle_task_done(*done),
            PluginMsg::Settings(settings) => self.set_settings(*settings),
            // The thread's business.
            PluginMsg::Stop => {}
        }
    }

    /// Whether something could be done now.
    pub fn is_busy(&self) -> bool {
        self.tasks.has_ready() || self.sockets.is_ready() || self.loads.is_ready()
    }

    /// When something is due, monotonic ms.
    pub fn poll_timeout(&self) -> Option<u64> {
        let timers = self.timers.poll_timeout();
        self.tasks.poll_timeout().into_iter().chain(timers).min()
    }

    /// Lets what is due happen, and coroutines run: each once at most, and not for longer than a turn's share.
    pub fn run_turn(&mut self, clock: Clock) {
        self.next_load();
        self.sockets.go_on();
        self.handle_socket_events();
        while let Some(due) = self.tasks.poll_due(self.now.mono_ms) {
            match due {
                Due::Slept(key, id) => self.end_wait(key, id),
                Due::Deadline(key) => self.end_at_deadline(key),
            }
        }
        self.fire_timers();
        let limit_ms = self.now.mono_ms + PLUGIN_RUN_MS_PER_TURN;
        for _ in 0..self.tasks.ready_len() {
            let Some((key, task, resume)) = self.tasks.take_ready() else {
                break;
            };
            self.resume(key, task, resume);
            self.now = clock.now();
            if self.now.mono_ms >= limit_ms {
                break;
            }
        }
        self.submit_http();
        self.submit_lookups();
        self.close_dropped();
    }

    fn resume(&mut self, key: TaskKey, mut task: Task, resume: Resume) {
        let program = Rc::clone(&task.program);
        match program.sandbox().resume(&mut task.coroutine, resume) {
            Step::Preempted => self.tasks.again(key, task, Ok(MultiValue::new())),
            Step::Waits { op, args } => self.begin(key, task, op, args),
            Step::Done(values) => {
                self.tasks.end(key);
                self.finish(task, Ok(values));
            }
            Step::Failed { error, traceback } => {
                self.tasks.end(key);
                let outcome = program.outcome_of(&error);
                if let (Err(_), Some(traceback)) = (&outcome, traceback) {
                    self.host.log("debug", None, &traceback);
                }
                self.finish(task, outcome);
            }
            Step::Killed(reason) => {
                self.tasks.end(key);
                self.finish(task, Err(CallError::new(4, reason)));
            }
        }
    }

    fn end_at_deadline(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.end(key) else {
            return;
        };
        let limit_ms = self.settings.plugin_timeout_ms;
        let text = match task.program.retired_ms() {
            Some(_) => REPLACED.to_owned(),
            None => format!("plugin: no end within {limit_ms} ms (plugin_timeout)"),
        };
        self.finish(task, Err(CallError::new(4, text)));
    }

    /// Ends all that runs of a program.
    pub(super) fn end_program(&mut self, program: &Rc<Program>) {
        for key in self.tasks.keys(|task| Rc::ptr_eq(&task.program, program)) {
            if let Some(task) = self.tasks.end(key) {
                self.finish(task, Err(CallError::new(4, REPLACED)));
            }
        }
    }

    /// A coroutine of `function`, ready to run.
    pub(super) fn spawn(
        &mut self,
        program: &Rc<Program>,
        function: &Function,
        arguments: MultiValue,
        purpose: Purpose,
        on_behalf: Option<ConnId>,
    ) -> Result<TaskKey, String> {
        let is_free = purpose.is_free();
        if is_free && self.free >= PLUGIN_FREE_COROUTINES_MAX {
            return Err(format!("more than {PLUGIN_FREE_COROUTINES_MAX} coroutines"));
        }
        let mut coroutine = program
            .sandbox()
            .task(function)
            .map_err(|error| error.to_string())?;
        let deadline_ms = match is_free {
            true => {
                self.free += 1;
                coroutine.set_endless();
                None
            }
            false => Some(self.now.mono_ms + self.settings.plugin_timeout_ms),
        };
        let ends_ms = program.retired_ms();
        let deadline_ms = deadline_ms.into_iter().chain(ends_ms).min();
        let task = Task {
            coroutine,
            program: Rc::clone(program),
            transaction: self.transaction_for(&purpose),
            purpose,
            on_behalf,
            waits: Waits::Plainly,
        };
        Ok(self.tasks.spawn(task, Ok(arguments), deadline_ms))
    }

    /// A coroutine ended, one way or another.
    fn finish(&mut self, task: Task, outcome: Result<MultiValue, CallError>) {
        let Task {
            program,
            purpose,
            on_behalf,
            transaction,
            waits,
            ..
        } = task;
        self.free -= usize::from(purpose.is_free());
        self.give_up(waits);
        if let Some(transaction) = transaction {
            // It did not come to its end: it failed, or its time was over.
            self.roll_back(transaction);
        }
        match purpose {
            Purpose::Free | Purpose::Socket(_) => {
                if let Err(error) = outcome {
                    self.log_failure("coroutine", &error);
                }
                if let Purpose::Socket(socket) = purpose {
                    self.sockets.close(socket);
                }
            }
            Purpose::Call(ticket, run, _) => {
                let (answer, traces) = program.finish_run(&run, outcome);
                self.event_done(ticket, answer, traces);
            }
            Purpose::Handle(handling) => {
                if let Err(error) = outcome {
                    self.log_failure(&handling.name(), &error);
                }
                self.next_handler(&program, handling, on_behalf);
            }
            Purpose::Load(loading) => match outcome {
                Ok(_) => self.next_file(&program, loading),
                Err(error) => self.finish_load(&program, *loading, Err(error.detail.into_owned())),
            },
        }
    }

    /// A wait's time is over before what it waited for came.
    fn end_wait(&mut self, key: TaskKey, id: TaskId) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        let waits = std::mem::replace(&mut task.waits, Waits::Plainly);
        let resume = match waits {
            Waits::Plainly | Waits::Http(_) => Ok(MultiValue::new()),
            Waits::Address(_) | Waits::Socket(..) | Waits::Connect(..) => {
                values(task.program.sandbox().lua(), (mlua::Nil, "timeout"))
            }
        };
        self.give_up(waits);
        self.tasks.wake(id, resume);
    }

    /// What a coroutine waited for is not wanted any more.
    fn give_up(&mut self, waits: Waits) {
        match waits {
            Waits::Plainly => {}
            Waits::Address(id) => self.lookups.forget(id),
            Waits::Http(id) => self.http.forget(id),
            Waits::Socket(id, socket) => self.sockets.forget(socket, id),
            Waits::Connect(_, socket) => self.sockets.close(socket),
        }
    }

    /// Something of a plugin got no coroutine. Any peer may see to that, so it is told now and then only.
    pub(super) fn refuse(&mut self, what: &str, why: &str) {
        let (count, told_ms) = &mut self.refused;
        *count += 1;
        if self.now.mono_ms < *told_ms {
            return;
        }
        let text = format!("plugins: no coroutine for {what}: {why} ({count} times)");
        (*count, *told_ms) = (0, self.now.mono_ms + PLUGIN_REFUSED_TOLD_MS);
        self.log(&text);
    }

    pub(super) fn log(&mut self, text: &str) {
        let text = self.log_time.server_line(self.now.unix_ms, text);
        let file = LogFile::Server;
        (self.ports.log)(LogLine { file, text });
    }

    /// A handler that nobody waits for failed: one line in `trace.log`.
    pub(super) fn log_failure(&mut self, name: &str, error: &CallError) {
        self.log_line(
            LogFile::Trace,
            &format!("plugin: {name} fails: {}", error.detail),
        );
    }

    /// One line of a plugin's text.
    pub(super) fn log_line(&mut self, file: LogFile, text: &str) {
        let text = log_text(text, PLUGIN_LOG_BYTES_MAX);
        let text = match file {
            LogFile::Server => self.log_time.server_line(self.now.unix_ms, &text),
            _ => self.log_time.request_line("nil", self.now.unix_ms, &text),
        };
        (self.ports.log)(LogLine { file, text });
    }
}

const REPLACED: &str = "the plugins were loaded anew";

#[cfg(test)]
mod tests;
