//! What plugins take part in: their calls, handlers of events, shapes of answers, calls of their own. Knows what
//! the loaded ones handle and who waits for them; never what they do.
//!
//! Whoever waits for a plugin is parked as for any job. A coroutine that makes a call has no connection, so its call is
//! parked here, under a [`ConnId`] that no connection has; everything else treats it as it treats all others.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::call::shape::Shape;
use crate::call::source::{Body, Params};
use crate::ids::ConnId;
use crate::message::plugin::{
    EventDone, EventKind, PluginCall, PluginCallEvent, PluginEvent, PluginEventKind, PluginLoad,
    PluginMsg, PluginSources, PluginTable, PluginsLoaded, RequestInfo, SocketAction, TaskId,
};
use crate::proto::form::Form;
use crate::proto::json_list::JsonList;
use crate::proto::request::Head;
use crate::state::calls::{Caller, Progress, Wait, Work, too_busy};
use crate::state::connection::{Heard, HttpReply, Meta, Parked, Phase, ReplyAs};
use crate::state::server::{Output, Server, live};
use crate::state::spec::Spec;

/// What is known of the loaded plugins.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    /// `None` without plugins.
    table: Option<Box<PluginTable>>,
    /// Events that are with the plugin thread.
    in_flight: usize,
    /// Calls of coroutines that wait, by ticket.
    calls: HashMap<u32, Box<Parked>>,
    tickets: u32,
    transactions: u64,
}

impl Plugins {
    /// With what was loaded at the start.
    pub fn new(table: Option<PluginTable>) -> Self {
        Plugins {
            table: table.map(Box::new),
            ..Plugins::default()
        }
    }

    pub fn is_loaded(&self) -> bool {
        self.table.is_some()
    }

    pub fn has_call(&self, action: &str) -> bool {
        self.table
            .as_ref()
            .is_some_and(|table| holds(&table.calls, action))
    }

    pub fn has_object(&self, object: &str) -> bool {
        self.table
            .as_ref()
            .is_some_and(|table| holds(&table.objects, object))
    }

    pub fn handles(&self, kind: EventKind, app: &str) -> bool {
        self.table
            .as_ref()
            .is_some_and(|table| holds(&table.events[kind as usize], app))
    }

    /// A new transaction of a batch.
    pub fn begin_transaction(&mut self) -> u64 {
        self.transactions += 1;
        self.transactions
    }

    /// Keeps a coroutine's call that waits.
    pub fn park(&mut self, ticket: u32, parked: Parked) {
        self.calls.insert(ticket, Box::new(parked));
    }

    pub fn take_parked(&mut self, ticket: u32) -> Option<Box<Parked>> {
        self.calls.remove(&ticket)
    }
}

fn holds(sorted: &[Box<str>], name: &str) -> bool {
    sorted.binary_search_by(|probe| (**probe).cmp(name)).is_ok()
}

impl<S> Server<S> {
    /// Whether the plugin thread has as much to do as it may.
    pub(super) fn plugins_are_busy(&self) -> bool {
        self.plugins.in_flight >= self.settings.plugin_events
    }

    /// What plugins may know of a request.
    pub(super) fn request_info(&self, id: ConnId, head: &Head<'_, '_>, meta: &Meta) -> RequestInfo {
        let caller = Caller {
            conn: id,
            forwarded_for: meta.forwarded_for.as_deref(),
            request: None,
        };
        RequestInfo {
            method: head.method.as_str().into(),
            path: head.path.into(),
            query: head.query.into(),
            address: self.address_text(&caller).into(),
            headers: head.all_headers(),
        }
    }

    /// The shape that a request asks for; a plugin's where it names none and one is the default.
    pub(super) fn shape(&self, query: &Form<'_>, body: Option<&Body<'_>>) -> Shape {
        let mut shape = Shape::new(query, body);
        if let Some(table) = &self.plugins.table
            && let Some(name) = &table.default_shape
            && shape.is_plain()
            && !Shape::is_off(query, body)
        {
            shape = Shape::named(name);
        }
        shape
    }

    /// The plugin's function that is to write this answer, if one is.
    pub(super) fn take_plugin_shape(
        &mut self,
        shape: &mut Shape,
        answer: &Answer,
    ) -> Option<Box<str>> {
        let name = shape.take_named()?;
        let is_page = matches!(answer, Ok(Data::Page(_)));
        let table = self.plugins.table.as_ref()?;
        (!is_page && holds(&table.shapes, &name) && !self.plugins_are_busy()).then_some(name)
    }

    /// Has an answer written by a plugin.
    pub(super) fn start_shape(
        &mut self,
        id: ConnId,
        name: Box<str>,
        answer: Value,
        request: Option<Arc<RequestInfo>>,
        reply: HttpReply,
    ) {
        let kind = PluginEventKind::Shape {
            name,
            answer,
            request,
        };
        self.tell_plugins(Some(id), kind);
        self.park(id, Work::Plugin, Wait::Job, ReplyAs::Http(Box::new(reply)));
    }

    pub(super) fn start_plugin_call(
        &mut self,
        caller: &Caller<'_>,
        action: &str,
        params: Params<'_>,
        transaction: Option<u64>,
    ) -> Progress {
        if self.plugins_are_busy() {
            return Progress::Done(Err(too_busy()));
        }
        let call = PluginCallEvent {
            action: action.into(),
            get: params.query.into_value(),
            post: match params.body {
                Body::Map(form) => form.into_value(),
                Body::List(list) => match list.into_values() {
                    Some(items) => Value::Array(items),
                    None => {
                        let detail = "bad json-format body: more than 50000 values";
                        return Progress::Done(Err(CallError::new(1, detail)));
                    }
                },
            },
            request: caller.request.map(Arc::clone),
            escape: params.escape,
            transaction,
        };
        self.tell_plugins(Some(caller.conn), PluginEventKind::Call(Box::new(call)));
        Progress::Wait(Work::Plugin, Wait::Job)
    }

    /// A push was delivered: its handlers run before it is answered.
    pub(super) fn start_push_handlers(
        &mut self,
        id: ConnId,
        app: &str,
        spec: &Spec<'_>,
        text: &str,
        count: u64,
    ) -> Progress {
        let answer = Ok(Data::Count(count));
        if self.plugins_are_busy() {
            // It was delivered: only its handlers miss it.
            self.stats.plugin_dropped += 1;
            return Progress::Done(answer);
        }
        let kind = PluginEventKind::Push {
            app: app.into(),
            user: match spec {
                Spec::Text(text) => Value::from(&**text),
                Spec::List(items) => Value::from(items.clone()),
            },
            msg: text.into(),
        };
        self.tell_plugins(Some(id), kind);
        Progress::Wait(Work::Handlers(Box::new(answer)), Wait::Job)
    }

    /// A WebSocket said something: its handlers run before it is answered.
    pub(super) fn start_message_handlers(&mut self, id: ConnId, answer: Answer, heard: Heard) {
        if self.plugins_are_busy() {
            self.stats.plugin_dropped += 1;
            return self.send_text(id, "*** error: too busy: try again later");
        }
        // Lost while it pushed: nobody is there who said it.
        let Some((_, user)) = self.hub.member(id.key).filter(|_| self.conn(id).is_some()) else {
            return;
        };
        let kind = PluginEventKind::Socket {
            kind: EventKind::Message,
            app: heard.app,
            user: user.into(),
            fd: id.to_fd(),
            data: heard.text,
        };
        self.tell_plugins(Some(id), kind);
        let work = Work::Handlers(Box::new(answer));
        self.park(id, work, Wait::Job, ReplyAs::WebSocket(None));
    }

    /// A user joined: what it says next waits until the handlers of that have ended.
    pub(super) fn start_open_handlers(&mut self, id: ConnId, app: &str, user: &str, init: &str) {
        if !self.plugins.handles(EventKind::Open, app) {
            return;
        }
        if self.plugins_are_busy() {
            self.stats.plugin_dropped += 1;
            return;
        }
        let kind = PluginEventKind::Socket {
            kind: EventKind::Open,
            app: app.into(),
            user: user.into(),
            fd: id.to_fd(),
            data: init.into(),
        };
        self.tell_plugins(Some(id), kind);
        let work = Work::Handlers(Box::new(Ok(Data::Null)));
        self.park(id, work, Wait::Job, ReplyAs::Nothing);
    }

    /// A connection is about to leave its app.
    pub(super) fn tell_close(&mut self, id: ConnId) {
        let is_websocket = self
            .conn(id)
            .is_some_and(|conn| matches!(conn.phase, Phase::WebSocket(_)));
        let Some((app, user)) = self.hub.member(id.key).filter(|_| is_websocket) else {
            return;
        };
        if !self.plugins.handles(EventKind::Close, app) {
            return;
        }
        if self.plugins_are_busy() {
            self.stats.plugin_dropped += 1;
            return;
        }
        let kind = PluginEventKind::Socket {
            kind: EventKind::Close,
            app: app.into(),
            user: user.into(),
            fd: id.to_fd(),
            data: "".into(),
        };
        self.tell_plugins(None, kind);
    }

    /// The calls of a batch are done: ends their transaction. Never refused, for it frees a connection.
    pub(super) fn end_transaction(&mut self, id: ConnId, transaction: u64, commit: bool) {
        let kind = PluginEventKind::EndTransaction {
            transaction,
            commit,
        };
        self.tell_plugins(Some(id), kind);
    }

    fn tell_plugins(&mut self, ticket: Option<ConnId>, kind: PluginEventKind) {
        self.plugins.in_flight += 1;
        self.stats.plugin_events += 1;
        let event = Box::new(PluginEvent { ticket, kind });
        self.output(Output::Plugin(PluginMsg::Event(event)));
    }

    /// Handlers of an event ended.
    pub(super) fn handle_event_done(&mut self, done: EventDone) {
        self.plugins.in_flight = self.plugins.in_flight.saturating_sub(1);
        let Some(id) = done.ticket else {
            return;
        };
        if let Some(conn) = live(&mut self.conns, id)
            && let Some(parked) = &mut conn.parked
            && let ReplyAs::Http(reply) = &mut parked.reply
        {
            reply.meta.take_traces(done.traces);
        }
        self.resume_with(id, Some(done.answer));
    }

    /// A coroutine makes a call.
    pub(super) fn handle_plugin_call(&mut self, call: PluginCall) {
        let PluginCall {
            task,
            on_behalf,
            action,
            get,
            post,
        } = call;
        let query = match get {
            Value::Object(fields) => Form::from_object(fields),
            _ => Form::default(),
        };
        let body = match post {
            Value::Object(fields) => Body::Map(Form::from_object(fields)),
            Value::Array(items) if !items.is_empty() => Body::List(JsonList::from_values(items)),
            _ => Body::Map(Form::default()),
        };
        let params = Params {
            query,
            body,
            escape: false,
        };
        self.run_for_plugin(task, on_behalf, |server, caller| {
            server.start_call(caller, &action, params, true)
        });
    }

    /// A plugin does something to one connection.
    pub(super) fn handle_socket_action(&mut self, action: SocketAction) {
        match action {
            SocketAction::Push {
                task,
                fd,
                text,
                on_behalf,
            } => self.run_for_plugin(task, on_behalf, |server, caller| {
                match server.open_websocket(fd) {
                    Some(id) => server.push_to_connection(caller, id, text),
                    None => Progress::Done(Ok(Data::Count(0))),
                }
            }),
            SocketAction::Disconnect { fd, code, reason } => {
                if let Some(id) = self.open_websocket(fd) {
                    self.close_websocket(id, code, &reason);
                }
            }
        }
    }

    /// The connection of this number, where one may still write to it.
    fn open_websocket(&self, fd: u64) -> Option<ConnId> {
        let id = ConnId::from_fd(fd);
        match &self.conn(id)?.phase {
            Phase::WebSocket(ws) if ws.closing.is_none() => Some(id),
            _ => None,
        }
    }

    /// Runs a call that no connection makes.
    fn run_for_plugin(
        &mut self,
        task: TaskId,
        on_behalf: Option<ConnId>,
        start: impl FnOnce(&mut Self, &Caller<'_>) -> Progress,
    ) {
        self.plugins.tickets = self.plugins.tickets.wrapping_add(1);
        let id = ConnId::internal(self.plugins.tickets);
        self.begin_share();
        self.wide = false;
        let caller = Caller {
            conn: id,
            forwarded_for: None,
            request: None,
        };
        match start(self, &caller) {
            Progress::Done(answer) => self.answer_plugin(task, on_behalf, answer),
            Progress::Wait(work, wait) => {
                self.park(id, work, wait, ReplyAs::Plugin { task, on_behalf })
            }
        }
    }

    /// Answers a coroutine's call. Whoever it runs for is answered behind the receivers of what it pushed.
    pub(super) fn answer_plugin(
        &mut self,
        task: TaskId,
        on_behalf: Option<ConnId>,
        answer: Answer,
    ) {
        let delivered = std::mem::take(&mut self.lists.delivered);
        let wide = self.wide;
        let waiting = match on_behalf.map(|id| (id, id.ticket())) {
            None => None,
            Some((_, Some(ticket))) => self.plugins.calls.get_mut(&ticket),
            Some((id, None)) => live(&mut self.conns, id).and_then(|conn| conn.parked.as_mut()),
        };
        if let Some(parked) = waiting {
            parked.wide |= wide;
            parked.delivered |= delivered;
        }
        let answer = Box::new(answer);
        self.output(Output::Plugin(PluginMsg::CallDone { task, answer }));
    }

    /// Goes on with a reload once the settings are taken over; its answer where no plugin is to be loaded.
    pub(super) fn reload_plugins(
        &mut self,
        reply_to: Option<ConnId>,
        sources: Result<PluginSources, String>,
    ) -> Option<Answer> {
        match sources {
            Ok(sources) if sources.plugins.is_empty() && !self.plugins.is_loaded() => {
                self.end_reload("done");
                Some(Ok(Data::Json(Value::Bool(true))))
            }
            Ok(sources) => {
                let settings = Box::new(self.settings.clone());
                let load = Box::new(PluginLoad {
                    reply_to,
                    sources,
                    settings,
                });
                self.output(Output::Plugin(PluginMsg::Load(load)));
                None
            }
            Err(text) => Some(self.refuse_plugins(text)),
        }
    }

    /// Plugins were loaded, or were not.
    pub(super) fn handle_plugins_loaded(&mut self, loaded: PluginsLoaded) {
        let answer = match loaded.outcome {
            Ok(table) => {
                let is_some = table != PluginTable::default();
                self.plugins.table = is_some.then(|| Box::new(table));
                self.end_reload("done, plugins too");
                Ok(Data::Json(Value::Bool(true)))
            }
            Err(text) => self.refuse_plugins(text),
        };
        if let Some(id) = loaded.reply_to {
            self.resume_with(id, Some(answer));
        }
    }

    fn refuse_plugins(&mut self, text: String) -> Answer {
        self.end_reload(&format!("{text}; the plugins stay as they were"));
        Err(CallError::new(4, text))
    }
}

#[cfg(test)]
mod tests;
