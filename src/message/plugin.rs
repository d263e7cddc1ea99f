//! What the plugin thread is told and what it asks for.

use core::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::call::answer::Answer;
use crate::ids::ConnId;
use crate::message::database::{DatabaseDone, DatabaseJob, SessionDone, SessionJob};
use crate::message::{CallbackRequest, ReactorMsg};
use crate::settings::Settings;

/// To the plugin thread. All of it is answered, so the number on its way is bounded by what its
/// senders have outstanding.
#[derive(Debug)]
pub enum PluginMsg {
    /// Load all plugins into a fresh state. Reply: [`ReactorMsg::PluginsLoaded`].
    Load(Box<PluginLoad>),
    /// Something that plugins handle. Reply: [`ReactorMsg::EventDone`].
    Event(Box<PluginEvent>),
    /// The answer to a [`ReactorMsg::PluginCall`]. No reply.
    CallDone {
        /// As in the call.
        task: TaskId,
        /// What the call answered.
        answer: Box<Answer>,
    },
    /// A worker is done with a [`TaskJob`]. No reply.
    TaskDone(Box<TaskDone>),
    /// Settings changed. No reply.
    Settings(Box<Settings>),
    /// End. The reply is the end of the thread.
    Stop,
}

/// Names a wait of one coroutine of the plugin thread; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// The sources of all plugins, as a worker read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSources {
    /// `api.lua`, `api.user.lua`, then `jdserver.d/*.lua` in name order: the path below the data folder
    /// and the content. Loaded in this order.
    pub plugins: Vec<(Box<str>, Box<[u8]>)>,
    /// What `require` finds: files below `jdserver.d/` in folders, by their path there.
    pub modules: Vec<(Box<str>, Box<[u8]>)>,
}

/// A (re)load of all plugins.
#[derive(Debug)]
pub struct PluginLoad {
    /// The call `reload` that waits; `None` for the start and for a signal.
    pub reply_to: Option<ConnId>,
    /// What to load.
    pub sources: PluginSources,
    /// The settings in force.
    pub settings: Box<Settings>,
}

/// What the loaded plugins handle; the server asks the plugin thread for nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginTable {
    /// Calls (`api_NAME`) and methods of objects (`Name.xxx`), sorted.
    pub calls: Vec<Box<str>>,
    /// Names of objects (`AC_Name`), sorted: an unknown method of one is code 1, not 2.
    pub objects: Vec<Box<str>>,
    /// Answer shapes (`retfn_NAME`), sorted.
    pub shapes: Vec<Box<str>>,
    /// The one of them that is used where a request names none (`X_RET_FN`).
    pub default_shape: Option<Box<str>>,
    /// `on("push.APP")` and the others, by app, sorted.
    pub events: [Vec<Box<str>>; 4],
}

/// A kind of event; the index into [`PluginTable::events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A push was delivered.
    Push,
    /// A WebSocket message came.
    Message,
    /// A user's connection joined an app.
    Open,
    /// It ended.
    Close,
}

impl EventKind {
    /// As in `on("push.APP", …)`.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Push => "push",
            EventKind::Message => "message",
            EventKind::Open => "open",
            EventKind::Close => "close",
        }
    }
}

/// Something that plugins handle. Reply: [`ReactorMsg::EventDone`], one for each.
#[derive(Debug)]
pub struct PluginEvent {
    /// Names the wait of whoever waits for its end; `None`: nobody does.
    pub ticket: Option<ConnId>,
    /// What.
    pub kind: PluginEventKind,
}

/// What happened, or what is called.
#[derive(Debug)]
pub enum PluginEventKind {
    /// A call of `api_NAME` or `Name.method`.
    Call(Box<PluginCallEvent>),
    /// A push was delivered to an app.
    Push {
        /// The app.
        app: Box<str>,
        /// The specification as given: text, or a list.
        user: Value,
        /// The text as sent.
        msg: Box<str>,
    },
    /// A WebSocket said something, joined or left.
    Socket {
        /// [`EventKind::Message`], `Open` or `Close`.
        kind: EventKind,
        /// The app: the connection's, or the one pushed to.
        app: Box<str>,
        /// The connection's user.
        user: Box<str>,
        /// The connection.
        fd: u64,
        /// The message's text (of an open the init; empty for a close).
        data: Box<str>,
    },
    /// An answer is to be written by `retfn_NAME`.
    Shape {
        /// `NAME`.
        name: Box<str>,
        /// `[0,data]` or `[code,message,detail]`.
        answer: Value,
        /// The request.
        request: Option<Arc<RequestInfo>>,
    },
    /// The batch that these calls ran in is over: end its transaction.
    EndTransaction {
        /// As in the calls.
        transaction: u64,
        /// Commit, else roll back.
        commit: bool,
    },
}

/// A call that a plugin answers.
#[derive(Debug)]
pub struct PluginCallEvent {
    /// `NAME` or `Object.method`.
    pub action: Box<str>,
    /// The query's parameters, an object.
    pub get: Value,
    /// The body's, an object, or a list where the body is one.
    pub post: Value,
    /// The HTTP request it came by; `None` for a call of another plugin.
    pub request: Option<Arc<RequestInfo>>,
    /// Whether text read by name gets `<` and `>` escaped.
    pub escape: bool,
    /// The transaction of the batch with `useTrans` that it belongs to.
    pub transaction: Option<u64>,
}

/// What a plugin may know of an HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// `GET`, `POST` …
    pub method: Box<str>,
    /// As sent, without the query.
    pub path: Box<str>,
    /// As sent, without the question mark.
    pub query: Box<str>,
    /// `ADDR` as in log lines.
    pub address: Box<str>,
    /// Names in lower case, in order.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

/// Names and values of headers.
pub type Headers = Vec<(Box<str>, Box<str>)>;

/// The session that a call used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionUse {
    /// Its id.
    pub id: Box<str>,
    /// Whom it knows as logged in.
    pub user: Option<i64>,
    /// `NAME=ID`, where the call began it: what comes later in the same request is part of it.
    pub cookie: Option<Box<str>>,
}

/// What a call leaves besides its answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CallTraces {
    /// Headers to add to the response (`env:header`, cookies): checked, no CR or LF, no framing header.
    pub headers: Headers,
    /// Its session, where it used one.
    pub session: Option<Box<SessionUse>>,
}

/// Handlers of an event ended, or their time did.
#[derive(Debug)]
pub struct EventDone {
    /// As in the event.
    pub ticket: Option<ConnId>,
    /// Of a call or shape: its answer, a [`crate::call::answer::Data::Page`] where it wrote one itself. Of
    /// others: `Ok(Data::Null)`, also where a handler failed, which is logged.
    pub answer: Answer,
    /// What else it left.
    pub traces: CallTraces,
}

/// A call that a coroutine makes of the server: push, getUsers, setTimeout … or another plugin's.
/// Reply: [`PluginMsg::CallDone`].
#[derive(Debug)]
pub struct PluginCall {
    /// Who waits.
    pub task: TaskId,
    /// Whose handler it runs for: its own answer leaves behind what this delivers.
    pub on_behalf: Option<ConnId>,
    /// The action's name.
    pub action: Box<str>,
    /// The query's parameters, an object.
    pub get: Value,
    /// The body's, an object or a list.
    pub post: Value,
}

/// Something for one connection.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketAction {
    /// `ws:push(fd, text)`. Reply: [`PluginMsg::CallDone`], how many took it: 0 or 1.
    Push {
        /// Who waits.
        task: TaskId,
        /// The connection.
        fd: u64,
        /// A text message.
        text: Box<str>,
        /// Whose handler it runs for.
        on_behalf: Option<ConnId>,
    },
    /// `ws:disconnect(fd, code, reason)`. No reply.
    Disconnect {
        /// The connection.
        fd: u64,
        /// RFC 6455, 7.4.
        code: u16,
        /// At most 123 bytes.
        reason: Box<str>,
    },
}

/// The outcome of a load.
#[derive(Debug)]
pub struct PluginsLoaded {
    /// As in the load.
    pub reply_to: Option<ConnId>,
    /// What they handle, or `FILE:LINE: MESSAGE`; then the old ones go on.
    pub outcome: Result<PluginTable, String>,
}

/// What a coroutine waits for that may block. Reply: [`PluginMsg::TaskDone`].
#[derive(Debug)]
pub struct TaskJob {
    /// Who waits.
    pub task: TaskId,
    /// What to do.
    pub work: TaskWork,
}

/// What a worker does for a coroutine.
#[derive(Debug)]
pub enum TaskWork {
    /// `httpCall`
    Http {
        /// What to send and where.
        request: CallbackRequest,
        /// Time for all of it, ms.
        timeout_ms: u64,
    },
    /// A query.
    Database(DatabaseJob),
    /// A session's file.
    Session(SessionJob),
    /// The first address of a `host:port` that may be connected to.
    Resolve {
        /// `host:port`; an address's own goes through the same checks.
        address: Box<str>,
    },
}

/// What became of a [`TaskJob`].
#[derive(Debug)]
pub struct TaskDone {
    /// As in the job.
    pub task: TaskId,
    /// The outcome; of the job's kind.
    pub outcome: TaskOutcome,
}

/// The outcome of a [`TaskWork`].
#[derive(Debug)]
pub enum TaskOutcome {
    /// Of [`TaskWork::Http`].
    Http {
        /// Status and whole body, or why there is none.
        answer: Result<(u16, Box<[u8]>), Box<str>>,
        /// As in the request: its slot is free.
        host: Box<str>,
        /// Whether its time ran out.
        timed_out: bool,
        /// How long it took, ms.
        took_ms: u64,
    },
    /// Of [`TaskWork::Database`].
    Database(DatabaseDone),
    /// Of [`TaskWork::Session`].
    Session(SessionDone),
    /// Of [`TaskWork::Resolve`]; or why not.
    Resolved(Result<SocketAddr, Box<str>>),
    /// The worker panicked: a defect of ours.
    Failed,
}

const _: () = assert!(size_of::<PluginMsg>() <= 32 && size_of::<ReactorMsg>() <= 32);
