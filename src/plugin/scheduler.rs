//! Runs coroutines: begins one for each handler and call, resumes it with what it waited for, ends it at its
//! deadline, and answers whoever waits for it. What a coroutine may wait for is in [`super::execute`].

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Sender;
use mlua::{Function, MultiValue};

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::clock::Clock;
use crate::ids::{ConnId, Now};
use crate::limits::{PLUGIN_COROUTINES_MAX, PLUGIN_LOG_BYTES_MAX, PLUGIN_RUN_MS_PER_TURN};
use crate::message::plugin::{
    CallTraces, EventDone, EventKind, PluginEvent, PluginEventKind, PluginLoad, PluginMsg,
    PluginTable, PluginsLoaded, TaskId,
};
use crate::message::{LogFile, LogLine, ReactorMsg};
use crate::plugin::execute::values;
use crate::plugin::http::HttpQueue;
use crate::plugin::lib::host::Host;
use crate::plugin::local_timers::LocalTimers;
use crate::plugin::program::{Program, Run};
use crate::plugin::socket_ops::Services;
use crate::plugin::sockets::{SocketId, Sockets};
use crate::plugin::task::{Step, Task as Coroutine};
use crate::plugin::tasks::{Due, TaskKey, Tasks};
use crate::plugin::thread::{FirstLoad, PluginSetup, Ports};
use crate::proto::logtext::{LogTime, log_text};
use crate::settings::Settings;

/// What a coroutine is resumed with; text is raised as an error in it.
pub(super) type Resume = Result<MultiValue, String>;

/// A coroutine and what it is for.
pub(super) struct Task {
    pub coroutine: Coroutine,
    pub program: Rc<Program>,
    pub purpose: Purpose,
    /// Whose handler it is: answers of what it does go behind what it pushes.
    pub on_behalf: Option<ConnId>,
    /// The database transaction that its changes belong to.
    pub transaction: Option<Transaction>,
    /// What it waits for.
    pub waits: Waits,
}

/// A call's database transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub id: u64,
    /// Ended with the call; else with the batch that it is part of.
    pub is_own: bool,
    /// Something was asked of the database in it.
    pub is_begun: bool,
}

/// What a coroutine waits for, as far as that has to be given up with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing, or what nobody need be told of.
    Plainly,
    /// Calls of URLs.
    Http(TaskId),
    /// A socket to be read or written.
    Socket(TaskId, SocketId),
    /// A socket to be connected.
    Connect(TaskId, SocketId),
}

/// What a coroutine is for.
pub(super) enum Purpose {
    /// Loads one file after another.
    Load(Box<Loading>),
    /// Answers a call, or writes an answer; the transaction of the batch that it is part of.
    Call(Option<ConnId>, Box<Run>, Option<u64>),
    /// Handles an event, with those that come behind it.
    Handle(Box<Handling>),
    /// Serves a connection, which is closed at its end.
    Socket(SocketId),
    /// `safeGo`, a timer, a datagram: nobody waits for it.
    Free,
}

/// A load under way.
pub(super) struct Loading {
    reply_to: Option<ConnId>,
    first: Option<Sender<Result<PluginTable, String>>>,
    rest: VecDeque<Function>,
}

/// Handlers of one event, one after another.
pub(super) struct Handling {
    ticket: Option<ConnId>,
    /// The connection that it is about.
    fd: Option<u64>,
    kind: EventKind,
    app: Box<str>,
    handlers: Rc<[Function]>,
    /// How many of them have begun.
    begun: usize,
    /// What the ones to come are called with; nothing behind the last.
    arguments: MultiValue,
}

/// The plugin thread's state.
pub struct Scheduler {
    pub(super) ports: Ports,
    pub(super) settings: Settings,
    pub(super) now: Now,
    pub(super) log_time: LogTime,
    /// What the functions of plugins need.
    host: Rc<Host>,
    /// Who waits for the end of a batch's transaction, by the name of its job.
    pub(super) ends: HashMap<TaskId, Option<ConnId>>,
    pub(super) transactions: u64,
    /// What new events go to; `None` before the first load.
    pub(super) program: Option<Rc<Program>>,
    programs: u64,
    pub(super) tasks: Tasks<Task, Resume>,
    pub(super) http: HttpQueue,
    /// The sockets of plugins.
    pub sockets: Sockets,
    pub(super) services: Services,
    pub(super) timers: LocalTimers,
    /// Connections whose message is being handled, and their end, which waits for that.
    busy: HashMap<u64, Option<Box<PluginEvent>>>,
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
            programs: 0,
            tasks: Tasks::default(),
            http: HttpQueue::default(),
            sockets,
            services: Services::default(),
            timers: LocalTimers::default(),
            busy: HashMap::new(),
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

    fn set_settings(&mut self, settings: Settings) {
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
        self.tasks.has_ready() || self.sockets.is_ready()
    }

    /// When something is due, monotonic ms.
    pub fn poll_timeout(&self) -> Option<u64> {
        let timers = self.timers.poll_timeout();
        self.tasks.poll_timeout().into_iter().chain(timers).min()
    }

    /// Lets what is due happen, and coroutines run: each once at most, and not for longer than a turn's share.
    pub fn run_turn(&mut self, clock: Clock) {
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
        let text = format!("plugin: no end within {limit_ms} ms (plugin_timeout)");
        self.finish(task, Err(CallError::new(4, text)));
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
        if self.tasks.len() >= PLUGIN_COROUTINES_MAX {
            return Err(format!("more than {PLUGIN_COROUTINES_MAX} coroutines"));
        }
        let mut coroutine = program
            .sandbox()
            .task(function)
            .map_err(|error| error.to_string())?;
        let deadline_ms = match purpose {
            Purpose::Free | Purpose::Socket(_) => {
                coroutine.set_endless();
                None
            }
            _ => Some(self.now.mono_ms + self.settings.plugin_timeout_ms),
        };
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

    fn handle_event(&mut self, event: Box<PluginEvent>) {
        let Some(program) = self.program.clone() else {
            let answer = match event.kind {
                PluginEventKind::Call(call) => Err(CallError::unknown_action(&call.action)),
                _ => Ok(Data::Null),
            };
            return self.event_done(event.ticket, answer, CallTraces::default());
        };
        let ticket = event.ticket;
        match event.kind {
            PluginEventKind::Call(call) => {
                let transaction = call.transaction;
                self.start_run(&program, ticket, transaction, |program| program.call(*call));
            }
            PluginEventKind::Shape {
                name,
                answer,
                request,
            } => self.start_run(&program, ticket, None, |program| {
                program.shape(&name, &answer, request)
            }),
            PluginEventKind::EndTransaction {
                transaction,
                commit,
            } => self.end_batch_transaction(ticket, transaction, commit),
            PluginEventKind::Push { app, user, msg } => {
                let arguments = program.push_arguments(&user, &msg);
                self.start_handlers(&program, ticket, None, EventKind::Push, app, arguments);
            }
            PluginEventKind::Socket {
                kind: EventKind::Close,
                fd,
                ..
            } if self.busy.contains_key(&fd) => {
                // What it said last is still being handled.
                self.busy.insert(fd, Some(event));
            }
            PluginEventKind::Socket {
                kind,
                app,
                user,
                fd,
                data,
            } => {
                let arguments = program.socket_arguments(&app, &user, fd, &data);
                self.start_handlers(&program, ticket, Some(fd), kind, app, arguments);
            }
        }
    }

    /// Begins a call, or answers it where that cannot be.
    fn start_run(
        &mut self,
        program: &Rc<Program>,
        ticket: Option<ConnId>,
        transaction: Option<u64>,
        make: impl FnOnce(&Program) -> Result<(Function, MultiValue, Run), CallError>,
    ) {
        let begun = make(program).and_then(|(function, arguments, run)| {
            let purpose = Purpose::Call(ticket, Box::new(run), transaction);
            self.spawn(program, &function, arguments, purpose, ticket)
                .map_err(|text| CallError::new(4, text))
        });
        if let Err(error) = begun {
            self.event_done(ticket, Err(error), CallTraces::default());
        }
    }

    fn start_handlers(
        &mut self,
        program: &Rc<Program>,
        ticket: Option<ConnId>,
        fd: Option<u64>,
        kind: EventKind,
        app: Box<str>,
        arguments: mlua::Result<MultiValue>,
    ) {
        let mut handling = Handling {
            ticket,
            fd,
            handlers: program.handlers(kind, &app).unwrap_or_default(),
            begun: 0,
            kind,
            app,
            arguments: MultiValue::new(),
        };
        match arguments {
            Ok(arguments) => handling.arguments = arguments,
            Err(error) => {
                self.log_failure(&handling.name(), &CallError::new(4, error.to_string()));
                return self.event_done(ticket, Ok(Data::Null), CallTraces::default());
            }
        }
        if let Some(fd) = fd {
            self.busy.entry(fd).or_insert(None);
        }
        self.next_handler(program, Box::new(handling), ticket);
    }

    /// Runs the next handler of an event, or ends the event.
    fn next_handler(
        &mut self,
        program: &Rc<Program>,
        mut handling: Box<Handling>,
        on_behalf: Option<ConnId>,
    ) {
        let handlers = Rc::clone(&handling.handlers);
        let Some(function) = handlers.get(handling.begun) else {
            return self.end_handling(handling.ticket, handling.fd);
        };
        handling.begun += 1;
        let arguments = match handlers.len() > handling.begun {
            true => handling.arguments.clone(),
            false => std::mem::take(&mut handling.arguments),
        };
        let (ticket, fd, kind) = (handling.ticket, handling.fd, handling.kind);
        let purpose = Purpose::Handle(handling);
        if let Err(text) = self.spawn(program, function, arguments, purpose, on_behalf) {
            self.log_failure(kind.name(), &CallError::new(4, text));
            self.end_handling(ticket, fd);
        }
    }

    fn end_handling(&mut self, ticket: Option<ConnId>, fd: Option<u64>) {
        self.event_done(ticket, Ok(Data::Null), CallTraces::default());
        if let Some(fd) = fd
            && let Some(Some(close)) = self.busy.remove(&fd)
        {
            self.handle_event(close);
        }
    }

    pub(super) fn event_done(
        &mut self,
        ticket: Option<ConnId>,
        answer: Answer,
        traces: CallTraces,
    ) {
        let done = Box::new(EventDone {
            ticket,
            answer,
            traces,
        });
        (self.ports.tell_reactor)(ReactorMsg::EventDone(done));
    }

    fn load(&mut self, load: PluginLoad, first: Option<Sender<Result<PluginTable, String>>>) {
        let PluginLoad {
            reply_to,
            sources,
            settings,
        } = load;
        self.set_settings(*settings);
        self.programs += 1;
        let program = Program::new(self.programs, &self.settings, &sources, &self.host);
        let mut loading = Loading {
            reply_to,
            first,
            rest: VecDeque::new(),
        };
        let begun = program.and_then(|program| {
            loading.rest = program.chunks(&sources)?.into();
            Ok(Rc::new(program))
        });
        match begun {
            Ok(program) => self.next_file(&program, Box::new(loading)),
            Err(text) => loading.tell(&self.ports, Err(text)),
        }
    }

    fn next_file(&mut self, program: &Rc<Program>, mut loading: Box<Loading>) {
        match loading.rest.pop_front() {
            Some(chunk) => {
                let purpose = Purpose::Load(loading);
                // It could not be told whom it failed for: there is memory for a coroutine, or none for plugins.
                if let Err(text) = self.spawn(program, &chunk, MultiValue::new(), purpose, None) {
                    self.log(&format!("plugins: {text}"));
                }
            }
            None => {
                let table = program.finish_load();
                self.finish_load(program, *loading, table);
            }
        }
    }

    /// Switches to a loaded program, or leaves the old one as it is.
    fn finish_load(
        &mut self,
        program: &Rc<Program>,
        loading: Loading,
        table: Result<PluginTable, String>,
    ) {
        if table.is_ok() {
            let old = self.program.replace(Rc::clone(program));
            self.switch_sockets(old.as_deref());
            self.switch_timers(old.as_deref());
        } else {
            self.drop_sockets(program);
            self.drop_timers(program);
        }
        loading.tell(&self.ports, table);
    }

    /// A wait's time is over before what it waited for came.
    fn end_wait(&mut self, key: TaskKey, id: TaskId) {
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        let waits = std::mem::replace(&mut task.waits, Waits::Plainly);
        let resume = match waits {
            Waits::Plainly | Waits::Http(_) => Ok(MultiValue::new()),
            Waits::Socket(..) | Waits::Connect(..) => {
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
            Waits::Http(id) => self.http.forget(id),
            Waits::Socket(id, socket) => self.sockets.forget(socket, id),
            Waits::Connect(_, socket) => self.sockets.close(socket),
        }
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

impl Handling {
    /// As in `on("push.APP", …)`.
    fn name(&self) -> String {
        format!("{}.{}", self.kind.name(), self.app)
    }
}

impl Loading {
    fn tell(self, ports: &Ports, outcome: Result<PluginTable, String>) {
        match self.first {
            Some(first) => drop(first.send(outcome)),
            None => {
                let reply_to = self.reply_to;
                let loaded = Box::new(PluginsLoaded { reply_to, outcome });
                (ports.tell_reactor)(ReactorMsg::PluginsLoaded(loaded));
            }
        }
    }
}
