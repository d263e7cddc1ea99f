//! Answers to requests: what every response carries, and the ways to refuse. Never decides what
//! a call answers.

use bytes::Bytes;

use crate::call::answer::Answer;
use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::limits::SCRATCH_BYTES_MAX;
use crate::proto::handshake;
use crate::proto::request::{Head, HttpError, Method};
use crate::proto::response::{self, Persistence, Response};
use crate::state::connection::{Meta, Phase};
use crate::state::server::Server;

/// Type of what calls answer.
pub(super) const CALL_TYPE: &str = "text/plain; charset=UTF-8";
/// Type of getMsg's answers and of missing files, as the original sends it.
pub(super) const BARE_TYPE: &str = "text/html";
/// For `Allow`.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl<S> Server<S> {
    pub(super) fn meta(&self, id: ConnId, head: &Head<'_, '_>) -> Meta {
        let persistence = match (head.keep_alive && !self.is_stopping(), head.minor) {
            (false, _) => Persistence::Close,
            (true, 0) => Persistence::KeepAlive,
            (true, _) => Persistence::Implied,
        };
        let origin = head
            .header("origin")
            .map(|origin| String::from_utf8_lossy(origin).into());
        Meta {
            persistence,
            head_only: head.method == Method::Head,
            origin,
            forwarded_for: self.forwarded_for(id, head),
        }
    }

    /// `X-Forwarded-For`, where the peer is a proxy that is trusted.
    fn forwarded_for(&self, id: ConnId, head: &Head<'_, '_>) -> Option<Box<str>> {
        if self.settings.trusted_proxy.is_empty() {
            return None;
        }
        let peer = self.peers.address(self.conn(id)?.peer);
        if !peer.is_none_or(|peer| self.settings.trusts(peer)) {
            return None;
        }
        let values: Vec<_> = head
            .headers("x-forwarded-for")
            .map(String::from_utf8_lossy)
            .collect();
        (!values.is_empty()).then(|| values.join(", ").into())
    }

    /// The answer of a call as a response.
    pub(super) fn respond_call(
        &mut self,
        id: ConnId,
        meta: &Meta,
        status: u16,
        shape: &Shape,
        answer: Answer,
    ) {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        let content_type = shape.write(&mut body, answer);
        self.respond(id, meta, status, content_type, true, &[], &body);
        body.shrink_to(SCRATCH_BYTES_MAX);
        self.scratch = body;
    }

    /// Queues a response. Closes behind it where the request or the answer says so.
    #[expect(clippy::too_many_arguments, reason = "a response has that many parts")]
    pub(super) fn respond(
        &mut self,
        id: ConnId,
        meta: &Meta,
        status: u16,
        content_type: &str,
        no_cache: bool,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut out = Vec::with_capacity(320 + body.len());
        let date = self.date.text(self.now);
        let cors;
        let all;
        let headers = match &meta.origin {
            None => headers,
            Some(origin) => {
                cors = [
                    ("Access-Control-Allow-Origin", &**origin),
                    ("Access-Control-Allow-Credentials", "true"),
                    ("Vary", "Origin"),
                ];
                all = [&cors, headers].concat();
                &all
            }
        };
        let response = Response {
            status,
            content_type,
            no_cache,
            headers,
            persistence: meta.persistence,
        };
        response::write(&mut out, date, &response, body, meta.head_only);
        self.stats.responses += 1;
        let wide = self.wide;
        self.send_reply(id, Bytes::from(out), wide);
        if meta.persistence == Persistence::Close {
            self.linger(id);
        }
    }

    /// Refuses a well-formed request; the connection may go on.
    pub(super) fn refuse_politely(&mut self, id: ConnId, meta: &Meta, status: u16, text: &str) {
        self.respond(
            id,
            meta,
            status,
            CALL_TYPE,
            true,
            &[],
            format!("{text}\n").as_bytes(),
        );
    }

    /// One answer to a framing error, then the connection closes.
    pub(super) fn refuse(&mut self, id: ConnId, error: HttpError) {
        let headers: &[(&str, &str)] = match error.status {
            405 => &[("Allow", METHODS)],
            426 => &handshake::VERSION_HEADERS,
            503 => &[("Retry-After", "1")],
            _ => &[],
        };
        self.refuse_with(id, error.status, error.text, headers);
    }

    pub(super) fn refuse_with(
        &mut self,
        id: ConnId,
        status: u16,
        text: &str,
        headers: &[(&str, &str)],
    ) {
        let meta = Meta {
            persistence: Persistence::Close,
            head_only: false,
            origin: None,
            forwarded_for: None,
        };
        self.stats.requests_refused += 1;
        self.wide = false;
        self.respond(
            id,
            &meta,
            status,
            CALL_TYPE,
            true,
            headers,
            format!("{text}\n").as_bytes(),
        );
    }

    pub(super) fn refuse_all(&mut self, id: ConnId, error: HttpError, rest: &[u8]) -> usize {
        self.refuse(id, error);
        rest.len()
    }

    /// Tells a connection beyond the caps so.
    pub(super) fn refuse_connection(&mut self, id: ConnId) {
        self.refuse(
            id,
            HttpError {
                status: 503,
                text: "too many connections: try again later",
            },
        );
    }

    /// Ends a connection whose unfinished input is too much with that of all others.
    pub(super) fn refuse_input(&mut self, id: ConnId) {
        match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::WebSocket(_)) => {
                self.close_websocket(id, 1013, "too much unfinished input")
            }
            Some(_) => self.refuse(
                id,
                HttpError {
                    status: 503,
                    text: "too much unfinished input: try again later",
                },
            ),
            None => {}
        }
    }

    /// Answers requests whose time for a head or body is over.
    pub(super) fn refuse_slow(&mut self, id: ConnId) {
        let text = match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::Body(_)) => "the request's body came too slowly",
            _ => "the request's head came too slowly",
        };
        self.refuse(id, HttpError { status: 408, text });
    }
}
