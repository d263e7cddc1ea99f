//! One connection: where it is in its protocol, what waits to be sent, what it waits for.
//! Plain state; the functions that change it are in [`super::http`], [`super::websocket`],
//! [`super::delivery`] and [`super::flush`].

use std::sync::Arc;

use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::limits::POLL_INPUT_BYTES_MAX;
use crate::message::api_log::ApiRecord;
use crate::message::plugin::{CallTraces, RequestInfo, TaskId};
use crate::proto::body::BodyReader;
use crate::proto::outbound::Outbound;
use crate::proto::response::Persistence;
use crate::proto::websocket::Decoder;
use crate::state::access::Access;
use crate::state::calls::Work;

/// A connection; `S` is its socket, or nothing in a simulation.
#[derive(Debug)]
pub struct Connection<S> {
    /// The socket, for its owner's use only.
    pub io: S,
    /// What waits to be sent.
    pub outbound: Outbound,
    /// Bytes read and not yet used: part of a head, or input behind a parked call.
    pub(super) carry: Vec<u8>,
    pub(super) phase: Phase,
    /// A call under way; no input is processed meanwhile.
    pub(super) parked: Option<Box<Parked>>,
    /// Bytes of unfinished input as last counted into the sum of all.
    pub(super) held: u32,
    pub(super) generation: u32,
    pub(super) peer: u32,
    /// Tick of the last byte received (or sent, on HTTP).
    pub(super) heard: u32,
    /// Which entry of the flush lists counts.
    pub(super) flush_seq: u32,
    pub(super) flush: Flush,
    /// The socket took less than it was given; only a writable event clears it.
    pub(super) blocked: bool,
    pub(super) input: InputState,
    /// What the token of its last request opens.
    pub(super) access: Access,
}

/// What may still come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputState {
    /// Bytes are welcome.
    Open,
    /// Not read until its own queue drains: it does not read its replies.
    Paused,
    /// It sent its last byte; answers still reach it.
    Ended,
    /// Nothing comes and nothing arrives any more; a call under way still runs.
    Lost,
}

/// Which flush list a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// None.
    Idle,
    /// Flushed this turn.
    Express,
    /// The same, and not before its place: it holds a reply that follows its receivers.
    ExpressReply,
    /// Flushed in slices; as a receiver.
    Bulk,
    /// Flushed in slices and not before its place: it holds a reply that follows its receivers.
    BulkReply,
}

impl Flush {
    /// Whether a reply waits that must not leave before its place.
    pub fn holds_reply(self) -> bool {
        matches!(self, Flush::ExpressReply | Flush::BulkReply)
    }
}

/// Where a connection is in its protocol.
#[derive(Debug)]
pub(super) enum Phase {
    /// Between requests or inside a head: bytes of `carry` already looked at, tick of its first
    /// byte. `fresh`: the connection's first; its time runs from the start.
    Head {
        scanned: u32,
        since: u32,
        fresh: bool,
    },
    /// Inside a body.
    Body(Box<Incoming>),
    /// A long poll: a member of the hub that takes one message.
    Poll(Box<Poll>),
    /// Upgraded.
    WebSocket(WebSocket),
    /// Nothing more is answered: what waits is sent, then input is discarded until the peer
    /// closes, `left` bytes came or the tick `until` has passed.
    Lingering { left: u32, until: u32, shut: bool },
}

/// A request whose body is still coming.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The whole head, parsed again when the body is complete.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub reader: BodyReader,
    /// Tick of the head.
    pub since: u32,
}

/// A waiting long poll.
#[derive(Debug)]
pub(super) struct Poll {
    pub meta: Meta,
    /// Monotonic ms; `None` waits without limit.
    pub due_ms: Option<u64>,
}

/// An upgraded connection.
#[derive(Debug, Default)]
pub(super) struct WebSocket {
    pub decoder: Decoder,
    /// The second for which `rate` counts messages.
    pub rate_second: u32,
    pub rate: u32,
    pub deflate: bool,
    /// Answers what it receives (`/echo`).
    pub echo: bool,
    /// A ping went out and nothing came since.
    pub pinged: bool,
    /// Tick at which the message under way began.
    pub began: Option<u32>,
    /// Our close went out at this tick; only the peer's is waited for.
    pub closing: Option<u32>,
}

/// How the answer to a request is sent.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub persistence: Persistence,
    /// HEAD: no body.
    pub head_only: bool,
    /// The `Origin` to echo.
    pub origin: Option<Box<str>>,
    /// `ADDR` of log lines.
    pub forwarded_for: Option<Box<str>>,
    /// What plugins may know of the request; only where there are any.
    pub request: Option<Arc<RequestInfo>>,
    /// What a plugin adds to the response's head.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// When it came, monotonic ms.
    pub began_ms: u64,
    /// What ApiLog is to keep of it; only where it may be to.
    pub record: Option<Box<ApiRecord>>,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Parked {
    pub work: Work,
    pub reply: ReplyAs,
    /// Whether it pushed to many, so that its reply follows them.
    pub wide: bool,
    /// Whether it delivered and has not replied.
    pub delivered: bool,
}

/// How the outcome of a parked call is answered.
#[derive(Debug)]
pub(super) enum ReplyAs {
    /// As a response. Apart, so that what waits for a handler stays small.
    Http(Box<HttpReply>),
    /// As a text message, once the handlers of the message have ended.
    WebSocket(Option<Box<Heard>>),
    /// To the coroutine that made the call, which runs for `on_behalf`.
    Plugin {
        task: TaskId,
        on_behalf: Option<ConnId>,
    },
    /// Not at all: it was no call.
    Nothing,
}

/// How the outcome of a parked call becomes a response.
#[derive(Debug)]
pub(super) struct HttpReply {
    pub meta: Meta,
    pub shape: Shape,
    pub action: Box<str>,
}

/// A WebSocket message that plugins are to handle before it is answered.
#[derive(Debug)]
pub(super) struct Heard {
    /// The connection's app, or the one pushed to.
    pub app: Box<str>,
    pub text: Box<str>,
}

impl Meta {
    /// What a plugin's call left: for the response, for ApiLog, and for later calls of the same batch.
    pub fn take_traces(&mut self, traces: CallTraces) {
        self.headers.extend(traces.headers);
        let Some(session) = traces.session else {
            return;
        };
        if let (Some(cookie), Some(request)) = (session.cookie, &mut self.request) {
            // Who looks for a cookie takes the first.
            let headers = &mut Arc::make_mut(request).headers;
            headers.insert(0, ("cookie".into(), cookie));
        }
        if let Some(record) = &mut self.record {
            record.session = session.id;
            record.user = session.user.or(record.user);
        }
    }
}

impl<S> Connection<S> {
    /// Whether more bytes would be used now.
    pub fn wants_bytes(&self) -> bool {
        self.input == InputState::Open
            && self.parked.is_none()
            && (self.carry.len() < POLL_INPUT_BYTES_MAX || !self.is_polling())
    }

    /// Whether it is a long poll, which is over when its peer closes its side.
    pub fn is_polling(&self) -> bool {
        matches!(self.phase, Phase::Poll(_))
    }

    /// How many bytes are of use in one read: few where they can only be kept.
    pub fn read_bytes_max(&self) -> usize {
        if self.is_polling() {
            POLL_INPUT_BYTES_MAX
        } else {
            usize::MAX
        }
    }

    /// Bytes of unfinished input held for it.
    pub(super) fn held_bytes(&self) -> usize {
        self.carry.capacity()
            + match &self.phase {
                Phase::Body(incoming) => incoming.body.capacity() + incoming.head.len(),
                Phase::WebSocket(ws) => ws.decoder.held_bytes(),
                _ => 0,
            }
    }
}
