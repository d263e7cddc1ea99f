//! Answers to requests: what every response carries, and the ways to refuse. Never decides what
//! a call answers.

use bytes::Bytes;

use crate::call::answer::{Answer, Data, Page};
use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::limits::{
    API_LOG_ANSWER_BYTES_MAX, RENDERED_BYTES_COPIED_MAX, SCRATCH_BYTES_MAX, SMALL_ANSWER_BYTES_MAX,
};
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
            request: None,
            headers: Vec::new(),
            began_ms: self.now.mono_ms,
            record: None,
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
        let answer = match (answer, shape.around_json()) {
            (Ok(Data::Rendered(text)), Some(around)) if text.len() > RENDERED_BYTES_COPIED_MAX => {
                return self.respond_rendered(id, meta, text, around);
            }
            (Ok(Data::Page(page)), _) => {
                let Page { content_type, body } = *page;
                self.end_record(meta, &body, body.len());
                return self.respond(id, meta, status, &content_type, true, &[], &body);
            }
            (answer, _) => answer,
        };
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        let content_type = shape.write(&mut body, answer);
        if self.settings.test_mode && shape.is_plain() {
            self.push_debug(&mut body, meta);
        }
        self.end_record(meta, &body, body.len());
        self.respond(id, meta, status, content_type, true, &[], &body);
        body.shrink_to(SCRATCH_BYTES_MAX);
        self.scratch = body;
    }

    /// A long answer that another thread wrote: queued as it is, between what stands around it.
    fn respond_rendered(
        &mut self,
        id: ConnId,
        meta: &Meta,
        text: Box<str>,
        (before, behind): (&'static [u8], &'static [u8]),
    ) {
        if self.is_too_much(text.len()) {
            return self.refuse_answer(id);
        }
        let bytes = before.len() + text.len() + behind.len();
        let shown = text.len().min(API_LOG_ANSWER_BYTES_MAX);
        self.end_record(meta, &[before, &text.as_bytes()[..shown]].concat(), bytes);
        let further = [
            Bytes::from(text.into_boxed_bytes()),
            Bytes::from_static(behind),
        ];
        let response = Response {
            status: 200,
            content_type: CALL_TYPE,
            no_cache: true,
            headers: &[],
            persistence: meta.persistence,
            further_bytes: further.iter().map(Bytes::len).sum(),
        };
        self.queue_response(id, meta, response, before);
        for chunk in further {
            self.send_reply(id, chunk, self.wide);
        }
        self.end_response(id, meta);
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
        if self.is_too_much(body.len()) {
            return self.refuse_answer(id);
        }
        let response = Response {
            status,
            content_type,
            no_cache,
            headers,
            persistence: meta.persistence,
            further_bytes: 0,
        };
        self.queue_response(id, meta, response, body);
        self.end_response(id, meta);
    }

    /// Whether an answer of that length finds no room among what is queued.
    fn is_too_much(&self, bytes: usize) -> bool {
        bytes > SMALL_ANSWER_BYTES_MAX && self.queued_bytes + bytes > self.settings.max_queue_total
    }

    fn queue_response(&mut self, id: ConnId, meta: &Meta, response: Response<'_>, body: &[u8]) {
        let mut out = Vec::with_capacity(320 + body.len());
        let date = self.date.text(self.now);
        let mut all = Vec::new();
        let headers = match &meta.origin {
            None if meta.headers.is_empty() => response.headers,
            origin => {
                if let Some(origin) = origin {
                    all.extend([
                        ("Access-Control-Allow-Origin", &**origin),
                        ("Access-Control-Allow-Credentials", "true"),
                        ("Vary", "Origin"),
                    ]);
                }
                let given = meta.headers.iter();
                all.extend(given.map(|(name, value)| (&**name, &**value)));
                all.extend(response.headers);
                &all
            }
        };
        let response = Response {
            headers,
            ..response
        };
        response::write(&mut out, date, &response, body, meta.head_only);
        self.stats.responses += 1;
        self.send_reply(id, Bytes::from(out), self.wide);
    }

    fn end_response(&mut self, id: ConnId, meta: &Meta) {
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
            request: None,
            headers: Vec::new(),
            began_ms: self.now.mono_ms,
            record: None,
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
        const TEXT: &str = "too much unfinished input: try again later";
        match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::WebSocket(ws)) if ws.closing.is_some() => self.drop_connection(id),
            Some(Phase::WebSocket(_)) => self.fail_websocket(id, 1013, TEXT),
            Some(Phase::Poll(_)) => self.drop_connection(id),
            Some(_) => self.refuse(
                id,
                HttpError {
                    status: 503,
                    text: TEXT,
                },
            ),
            None => {}
        }
    }

    /// An answer for which the queues of all have no room: a peer that takes none of its answers
    /// is cut, another one is told to come back.
    fn refuse_answer(&mut self, id: ConnId) {
        self.stats.dropped += 1;
        if self.conn(id).is_some_and(|conn| conn.outbound.is_empty()) {
            let text = "too many answers wait to be taken: try again later";
            self.refuse(id, HttpError { status: 503, text });
        } else {
            self.drop_connection(id);
        }
    }

    /// Answers requests whose time for a head or body is over.
    pub(super) fn refuse_slow(&mut self, id: ConnId) {
        let text = match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::WebSocket(_)) => {
                return self.close_websocket(id, 1008, "a message came too slowly");
            }
            Some(Phase::Body(_)) => "the request's body came too slowly",
            _ => "the request's head came too slowly",
        };
        self.refuse(id, HttpError { status: 408, text });
    }
}
