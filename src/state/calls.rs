//! What the calls do: push, getUsers, stat, conf, reload. A call is done at once, or it becomes
//! [`Work`] that waits: for the next turn, for the bulk list, for a job.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::call::name;
use crate::call::source::{Body, From, Params, escape};
use crate::call::timer;
use crate::ids::ConnId;
use crate::limits::{BYTES_PER_WORK, LOG_TEXT_BYTES_MAX};
use crate::message::plugin::{EventKind, RequestInfo};
use crate::message::{Job, LogFile, LogLine, TimerCall, TimerRequest};
use crate::proto::form::{Field, Form};
use crate::proto::json;
use crate::proto::json_list::JsonList;
use crate::proto::logtext::log_text;
use crate::state::access;
use crate::state::batch::Batch;
use crate::state::delivery::{Notice, PushState};
use crate::state::listing::Listing;
use crate::state::server::{Output, Server};
use crate::state::spec::Spec;

/// Who makes a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'c> {
    pub conn: ConnId,
    pub forwarded_for: Option<&'c str>,
    /// What plugins may know of the request; only where there are any.
    pub request: Option<&'c Arc<RequestInfo>>,
}

/// How far a call has come.
#[derive(Debug)]
pub(super) enum Progress {
    Done(Answer),
    Wait(Work, Wait),
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The next turn: this one has done enough.
    Turn,
    /// The bulk list to run empty.
    Bulk,
    /// The outcome of a job, or another thread's answer.
    Job,
}

/// The rest of a call that waits.
#[derive(Debug)]
pub(super) enum Work {
    Push(Box<PushWork>),
    Pushes(Box<Pushes>),
    Listing(Box<Listing>),
    Batch(Box<Batch>),
    /// A file is being read; [`JobDone::File`] is its answer.
    File,
    /// Settings are being read; [`JobDone::Settings`] is its answer.
    Reload,
    /// The timer thread was asked; [`crate::message::TimerReply`] is its answer.
    Timer,
    /// Another thread was asked, and what it tells is the answer.
    Asked,
    /// Plugins handle a call, shape an answer or end a transaction; [`crate::message::plugin::EventDone`] is its answer.
    Plugin,
    /// What was done is answered with this once the handlers of plugins have ended.
    Handlers(Box<Answer>),
    /// Input that waits for the next turn: no call.
    Input,
}

/// One push that is not finished.
#[derive(Debug)]
pub(super) struct PushWork {
    app: Box<str>,
    spec: Spec<'static>,
    notice: Notice<'static>,
    state: PushState,
    /// Whether plugins hear of it.
    has_handlers: bool,
}

/// A list of pushes.
#[derive(Debug)]
pub(super) struct Pushes {
    items: JsonList<'static>,
    escape: bool,
    counts: Vec<Value>,
    current: Option<Work>,
}

impl<S> Server<S> {
    /// Begins a call.
    pub(super) fn start_call(
        &mut self,
        caller: &Caller<'_>,
        action: &str,
        params: Params<'_>,
        is_post: bool,
    ) -> Progress {
        if access::is_administration(action) && !self.may_administer(caller.conn) {
            return Progress::Done(Err(CallError::new(2, "admin token required")));
        }
        let done = match action {
            "push" => return self.start_push(caller, params),
            "getUsers" => return self.start_users(&params),
            "batch" => return self.start_batch(caller, params, is_post),
            "setTimeout" => return self.ask_timers(caller, timer::read_set_timeout(params)),
            "reload" => {
                self.output(Output::Job(Job::Settings {
                    reply_to: Some(caller.conn),
                }));
                return Progress::Wait(Work::Reload, Wait::Job);
            }
            "stat" => Ok(self.stat()),
            "conf" => self.configure(&params.query),
            _ if self.plugins.has_call(action) => {
                return self.start_plugin_call(caller, action, params, None);
            }
            // Ours and not the original's: an application may have calls of these names.
            "getApps" => return self.start_apps(&params),
            "getSettings" => Ok(self.settings_table(&params)),
            "logTail" => return self.start_log_tail(caller.conn, &params),
            "statHistory" => Ok(self.stat_history()),
            _ if name::is_object(action) => match action.split_once('.') {
                Some((timer::OBJECT, method)) => match timer::read(method, params) {
                    Ok(request) => return self.ask_timers(caller, request),
                    Err(error) => Err(error),
                },
                Some((object, method)) if self.plugins.has_object(object) => {
                    Err(CallError::unknown_method(object, method))
                }
                _ => Err(CallError::not_allowed(&escape(action))),
            },
            _ => Err(CallError::unknown_action(action)),
        };
        Progress::Done(done)
    }

    /// Goes on with a call that waited; `done` is the outcome of its job.
    pub(super) fn continue_call(
        &mut self,
        caller: &Caller<'_>,
        work: Work,
        done: Option<Answer>,
    ) -> Progress {
        match (work, done) {
            (Work::Push(work), _) => self.continue_push(caller, work),
            (Work::Pushes(work), done) => self.continue_pushes(caller, work, done),
            (Work::Listing(work), _) => self.continue_listing(work),
            (Work::Batch(work), done) => self.continue_batch(caller, work, done),
            (
                Work::File | Work::Reload | Work::Timer | Work::Asked | Work::Plugin,
                Some(answer),
            ) => Progress::Done(answer),
            (Work::Handlers(answer), Some(_)) => Progress::Done(*answer),
            (
                work @ (Work::File
                | Work::Reload
                | Work::Timer
                | Work::Asked
                | Work::Plugin
                | Work::Handlers(_)),
                None,
            ) => Progress::Wait(work, Wait::Job),
            (Work::Input, _) => Progress::Done(Ok(Data::Null)),
        }
    }

    /// Hands a call to the timer thread.
    fn ask_timers(&mut self, caller: &Caller<'_>, request: TimerRequest) -> Progress {
        self.output(Output::Timer(Box::new(TimerCall {
            reply_to: caller.conn,
            request,
        })));
        Progress::Wait(Work::Timer, Wait::Job)
    }

    fn start_push(&mut self, caller: &Caller<'_>, params: Params<'_>) -> Progress {
        let escape = params.escape;
        if let Body::List(items) = params.body {
            let counts = Vec::with_capacity(items.len());
            let work = Pushes {
                items: items.into_owned(),
                escape,
                counts,
                current: None,
            };
            return self.continue_pushes(caller, Box::new(work), None);
        }
        match PushParams::read(&params) {
            Ok(push) => self.run_push(caller, push),
            Err(error) => Progress::Done(Err(error)),
        }
    }

    fn run_push(&mut self, caller: &Caller<'_>, push: PushParams<'_>) -> Progress {
        let has_handlers = self.plugins.handles(EventKind::Push, &push.app);
        if has_handlers && self.plugins_are_busy() {
            return Progress::Done(Err(too_busy()));
        }
        let mut notice = Notice::new(push.text);
        let mut state = PushState::default();
        match self.push(&push.app, &push.spec, &mut notice, &mut state) {
            Ok(Ok(count)) if !has_handlers => Progress::Done(Ok(Data::Count(count))),
            Ok(Ok(count)) => {
                self.start_push_handlers(caller.conn, &push.app, &push.spec, &notice.text, count)
            }
            Ok(Err(wait)) => {
                let notice = Notice::new(Cow::Owned(notice.text.into_owned()));
                let (app, spec) = (push.app.into(), push.spec.into_owned());
                Progress::Wait(
                    Work::Push(Box::new(PushWork {
                        app,
                        spec,
                        notice,
                        state,
                        has_handlers,
                    })),
                    wait,
                )
            }
            Err(error) => Progress::Done(Err(error)),
        }
    }

    fn continue_push(&mut self, caller: &Caller<'_>, mut work: Box<PushWork>) -> Progress {
        match self.push(&work.app, &work.spec, &mut work.notice, &mut work.state) {
            Ok(Ok(count)) if work.has_handlers => {
                let PushWork {
                    app, spec, notice, ..
                } = *work;
                self.start_push_handlers(caller.conn, &app, &spec, &notice.text, count)
            }
            Ok(Ok(count)) => Progress::Done(Ok(Data::Count(count))),
            Ok(Err(wait)) => Progress::Wait(Work::Push(work), wait),
            Err(error) => Progress::Done(Err(error)),
        }
    }

    /// A message for one connection only, past the hub's names; plugins do not hear of it.
    pub(super) fn push_to_connection(
        &mut self,
        caller: &Caller<'_>,
        to: ConnId,
        text: Box<str>,
    ) -> Progress {
        let work = PushWork {
            app: "".into(),
            spec: Spec::List(Vec::new()),
            notice: Notice::new(Cow::Owned(text.into())),
            state: PushState::selected(self.hub.joined(to.key).map(|joined| (to, joined))),
            has_handlers: false,
        };
        self.continue_push(caller, Box::new(work))
    }

    fn continue_pushes(
        &mut self,
        caller: &Caller<'_>,
        mut work: Box<Pushes>,
        mut done: Option<Answer>,
    ) -> Progress {
        loop {
            let progress = match work.current.take() {
                Some(push) => self.continue_call(caller, push, done.take()),
                None if self.share_left == 0 => {
                    return Progress::Wait(Work::Pushes(work), Wait::Turn);
                }
                None => match work.items.poll_item() {
                    None => return Progress::Done(Ok(Data::Json(Value::Array(work.counts)))),
                    Some((bytes, item)) => {
                        self.spend(ITEM_WORK + (bytes / BYTES_PER_WORK) as u32);
                        self.push_item(caller, item.unwrap_or(Value::Null), work.escape)
                    }
                },
            };
            match progress {
                Progress::Done(Ok(data)) => work.counts.push(data.into_value()),
                Progress::Wait(push, wait) => {
                    work.current = Some(push);
                    return Progress::Wait(Work::Pushes(work), wait);
                }
                // A bad item fails the call; those before it were delivered.
                Progress::Done(Err(error)) => return Progress::Done(Err(error)),
            }
        }
    }

    fn push_item(&mut self, caller: &Caller<'_>, item: Value, escape: bool) -> Progress {
        let Value::Object(fields) = item else {
            let detail = "bad push list: each item must be an object {app, user, msg}";
            return Progress::Done(Err(CallError::new(1, detail)));
        };
        let params = Params {
            query: Form::default(),
            body: Body::Map(Form::from_object(fields)),
            escape,
        };
        match PushParams::read(&params) {
            Ok(push) => self.run_push(caller, push),
            Err(error) => Progress::Done(Err(error)),
        }
    }

    /// A push that came over a WebSocket.
    pub(super) fn push_from_websocket(
        &mut self,
        conn: ConnId,
        app: &str,
        spec: Spec<'_>,
        text: Cow<'_, str>,
    ) -> Progress {
        let caller = Caller {
            conn,
            forwarded_for: None,
            request: None,
        };
        let app = app.into();
        self.run_push(&caller, PushParams { app, spec, text })
    }

    /// `conf`: sets what may be set at run time, answers what it set.
    fn configure(&mut self, query: &Form<'_>) -> Answer {
        let mut set = Map::new();
        // A wrong value must leave nothing half done.
        let mut settings = self.settings.clone();
        for (name, field) in query.iter().filter(|(name, _)| name.starts_with("conf_")) {
            let text = match field {
                Field::Text(text) => Cow::Borrowed(text.as_ref()),
                Field::Json(value) => Cow::Owned(json::to_text(value)),
            };
            match settings.set_run_time(name, &text) {
                Ok(true) => {
                    set.insert(name.to_owned(), Value::String(text.into_owned()));
                }
                Ok(false) => {
                    let line = format!("conf: {} cannot be set at run time", log_text(name, 64));
                    self.log(&line);
                }
                Err(error) => return Err(CallError::new(1, error.to_string())),
            }
        }
        for (name, value) in &set {
            let value = value.as_str().unwrap_or_default();
            let line = format!(
                "conf: {}={}",
                log_text(name, 64),
                log_text(value, LOG_TEXT_BYTES_MAX)
            );
            self.log(&line);
        }
        if !set.is_empty() {
            self.settings = settings;
            self.output(Output::Settings(Box::new(self.settings.clone())));
        }
        Ok(Data::Json(if set.is_empty() {
            Value::Array(Vec::new())
        } else {
            Value::Object(set)
        }))
    }

    /// A failed call's line in `trace.log`.
    pub(super) fn log_failure(&mut self, caller: &Caller<'_>, action: &str, error: &CallError) {
        self.stats.calls_failed += 1;
        if matches!(error.code, 2 | -100) {
            return;
        }
        let address = self.address_text(caller);
        let mut answer = Vec::new();
        crate::call::answer::write(&mut answer, &Err(error.clone()));
        let answer = String::from_utf8_lossy(&answer);
        let text = format!(
            "fail to call `{}`: {}",
            log_text(action, 128),
            log_text(&answer, LOG_TEXT_BYTES_MAX)
        );
        let text = self
            .log_time
            .request_line(&address, self.now.unix_ms, &text);
        self.output(Output::Log(LogLine {
            file: LogFile::Trace,
            text,
        }));
    }

    /// `ADDR` of a log line: the peer, or `PEER; X-Forwarded-For`.
    pub(super) fn address_text(&self, caller: &Caller<'_>) -> String {
        if caller.conn.ticket().is_some() {
            return "nil".to_owned();
        }
        let peer = self
            .conn(caller.conn)
            .and_then(|conn| self.peers.address(conn.peer));
        let peer = peer.map_or("unix".to_owned(), |peer| peer.to_string());
        match caller.forwarded_for {
            // Addresses only: nothing in it may look like the rest of the line.
            Some(forwarded) => {
                let is_address = |c: &char| c.is_ascii_hexdigit() || ".:, ".contains(*c);
                let forwarded: String = forwarded.chars().filter(is_address).collect();
                format!("{peer}; {forwarded}")
            }
            None => peer,
        }
    }
}

pub(super) fn too_busy() -> CallError {
    CallError::new(4, "too busy: try again later")
}

/// Reading and checking one item of a push list, in units of work.
const ITEM_WORK: u32 = 10;

/// The parameters of one push, read in the order in which the original misses them.
struct PushParams<'p> {
    app: Cow<'p, str>,
    spec: Spec<'p>,
    text: Cow<'p, str>,
}

impl<'p> PushParams<'p> {
    fn read(params: &'p Params<'_>) -> Result<Self, CallError> {
        let app = params.text(From::Both, "app")?;
        let user = params
            .get(From::Both, "user")
            .ok_or_else(|| CallError::missing("user"))?;
        let spec = match user {
            Cow::Borrowed(Field::Json(Value::Array(items))) => {
                Spec::List(items.iter().map(json::to_text).collect())
            }
            Cow::Owned(Field::Json(Value::Array(items))) => {
                Spec::List(items.iter().map(json::to_text).collect())
            }
            _ => Spec::Text(params.text(From::Both, "user")?),
        };
        let text = params.text(From::Both, "msg")?;
        Ok(PushParams { app, spec, text })
    }
}
