//! Events and calls: each begins a coroutine, whoever waits for it is answered at its end. What is said of a connection
//! is handled in order: its end waits for the handlers of what it said last.

use std::rc::Rc;

use mlua::{Function, MultiValue};

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::message::ReactorMsg;
use crate::message::plugin::{CallTraces, EventDone, EventKind, PluginEvent, PluginEventKind};
use crate::plugin::program::{Program, Run};
use crate::plugin::purpose::Purpose;
use crate::plugin::scheduler::Scheduler;

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

impl Handling {
    /// As in `on("push.APP", …)`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.kind.name(), self.app)
    }
}

impl Scheduler {
    /// Takes an event: its coroutine begins, or it is answered.
    pub(super) fn handle_event(&mut self, event: Box<PluginEvent>) {
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
    pub(super) fn next_handler(
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
}
