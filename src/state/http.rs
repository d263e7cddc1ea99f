//! Requests: from a whole head to a call, a file, a long poll or an upgrade. What a call does is in
//! [`super::calls`]; what RFC 9112 demands of a head is in [`crate::proto::request`]; answers are
//! written in [`super::respond`].

use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::Bytes;

use crate::call::error::CallError;
use crate::call::name;
use crate::call::shape::Shape;
use crate::call::source::{Body, Params};
use crate::ids::ConnId;
use crate::limits::{BYTES_PER_WORK, HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_WORK};
use crate::proto::body::{BodyReader, Framing};
use crate::proto::form::Form;
use crate::proto::handshake;
use crate::proto::mime;
use crate::proto::request::{self, Head, HttpError, Method};
use crate::proto::response::{self, Persistence};
use crate::state::calls::{Caller, Progress};
use crate::state::connection::{HttpReply, Incoming, InputState, Meta, Phase, ReplyAs, WebSocket};
use crate::state::metrics;
use crate::state::respond::{CALL_TYPE, METHODS};
use crate::state::server::{Server, live};

impl<S> Server<S> {
    /// Uses one request from the front of `data`; `None` when its head is not whole yet.
    pub(super) fn process_head(&mut self, id: ConnId, data: &[u8]) -> Option<usize> {
        let tick = self.tick();
        let Some(Phase::Head {
            scanned,
            since,
            fresh,
        }) = live(&mut self.conns, id).map(|conn| &mut conn.phase)
        else {
            return None;
        };
        // A head's time begins with its first byte.
        if *scanned == 0 && !*fresh {
            *since = tick;
        }
        match request::find_end(data, *scanned as usize, HEAD_BYTES_MAX) {
            Ok(Some(end)) => {
                (*scanned, *fresh) = (0, false);
                let (head, rest) = data.split_at(end);
                let used = self.handle_head(id, head, rest);
                Some(end + used)
            }
            Ok(None) => {
                *scanned = data.len() as u32;
                None
            }
            Err(error) => {
                self.refuse(id, error);
                Some(data.len())
            }
        }
    }

    /// Handles a whole head and as much of its body as is there; says how much of `rest` it used.
    fn handle_head(&mut self, id: ConnId, bytes: &[u8], rest: &[u8]) -> usize {
        let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let head = match request::parse(bytes, &mut slots) {
            Ok(head) => head,
            Err(error) => return self.refuse_all(id, error, rest),
        };
        let sized = match head.framing {
            Framing::None => Some(0),
            Framing::Sized(n) if n <= rest.len() as u64 && n <= self.settings.max_body as u64 => {
                Some(n as usize)
            }
            _ => None,
        };
        if let Some(len) = sized {
            self.serve(id, &head, &rest[..len]);
            return len;
        }
        // Strangers need not send their body first.
        if !self.admit(id, &head, &Form::parse(head.query.as_bytes())) {
            let mut meta = self.meta(id, &head);
            meta.persistence = Persistence::Close;
            let answer = Err(CallError::new(2, "token required"));
            self.respond_call(id, &meta, 401, &Shape::default(), answer);
            return rest.len();
        }
        match BodyReader::new(head.framing, self.settings.max_body) {
            Ok(reader) => {
                if head.expect_continue {
                    self.send_reply(id, Bytes::from_static(response::CONTINUE), false);
                }
                let since = self.tick();
                if let Some(conn) = live(&mut self.conns, id) {
                    let head = bytes.to_vec();
                    conn.phase = Phase::Body(Box::new(Incoming {
                        head,
                        body: Vec::new(),
                        reader,
                        since,
                    }));
                }
                0
            }
            Err(error) => self.refuse_all(id, error, rest),
        }
    }

    /// Uses body bytes from the front of `data`.
    pub(super) fn process_body(&mut self, id: ConnId, data: &[u8]) -> Option<usize> {
        let conn = live(&mut self.conns, id)?;
        let Phase::Body(incoming) = &mut conn.phase else {
            return None;
        };
        match incoming.reader.read(data, &mut incoming.body) {
            Ok((used, false)) => Some(used),
            Ok((used, true)) => {
                let phase = std::mem::replace(
                    &mut conn.phase,
                    Phase::Head {
                        scanned: 0,
                        since: 0,
                        fresh: false,
                    },
                );
                if let Phase::Body(incoming) = phase {
                    let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
                    match request::parse(&incoming.head, &mut slots) {
                        Ok(head) => self.serve(id, &head, &incoming.body),
                        Err(error) => self.refuse(id, error),
                    }
                }
                Some(used)
            }
            Err(error) => {
                self.refuse(id, error);
                Some(data.len())
            }
        }
    }

    /// Answers one complete request.
    fn serve(&mut self, id: ConnId, head: &Head<'_, '_>, body: &[u8]) {
        self.stats.requests += 1;
        self.spend(REQUEST_WORK + (body.len() / BYTES_PER_WORK) as u32);
        self.wide = false;
        if head.upgrade {
            return self.upgrade(id, head);
        }
        let mut meta = self.meta(id, head);
        if let Some(origin) = head.header("origin")
            && !self.admits_origin(head, origin)
        {
            meta.origin = None;
            return self.refuse_politely(
                id,
                &meta,
                403,
                "origin not allowed: see the setting allow_origin",
            );
        }
        if head.method == Method::Options {
            return self.answer_preflight(id, head, &meta);
        }
        let path = match request::decode_path(head.path) {
            Ok(path) => path,
            Err(error) => {
                meta.persistence = Persistence::Close;
                return self.refuse_politely(id, &meta, error.status, error.text);
            }
        };
        let is_base = self.settings.base_path.is(&path);
        let path = self.settings.base_path.below(&path);
        let query = Form::parse(head.query.as_bytes());
        let is_call = path == "/" && (query.get("ac").is_some() || query.get("_ac").is_some());
        let is_read = matches!(head.method, Method::Get | Method::Head);
        let is_folder = is_base || path == mime::MANUAL.trim_end_matches('/');
        if is_folder && is_read && !is_call {
            return self.redirect_to_folder(id, head, meta);
        }
        let is_manual = path.starts_with(mime::MANUAL);
        let mime = mime::is_file_path(path).or(is_manual.then_some(mime::NOT_FOUND));
        if let Some(mime) = mime.filter(|_| !is_call) {
            return self.serve_file(id, head, meta, path, mime);
        }
        if path == metrics::HEALTH_PATH {
            return self.answer_health(id, head, &meta);
        }
        if !self.admit(id, head, &query) {
            let answer = Err(CallError::new(2, "token required"));
            return self.respond_call(id, &meta, 401, &Shape::default(), answer);
        }
        if path == metrics::METRICS_PATH {
            return self.start_metrics(id, head, meta);
        }
        if head.method == Method::Head {
            // What a call would answer is not known without running it, so neither is a length.
            return self.respond(id, &meta, 200, CALL_TYPE, true, &[], b"");
        }
        if path.trim_start_matches('/') == "getMsg" {
            return self.start_poll(id, meta, &query);
        }
        self.serve_call(id, head, meta, path, query, body);
    }

    fn serve_call<'r>(
        &mut self,
        id: ConnId,
        head: &Head<'_, '_>,
        mut meta: Meta,
        path: &'r str,
        mut query: Form<'r>,
        body: &'r [u8],
    ) {
        let content_type = head.header("content-type").unwrap_or_default();
        let parsed = match head.method {
            // A GET's body is not read.
            Method::Get => Ok(Body::Map(Form::default())),
            _ => Body::parse(&String::from_utf8_lossy(content_type), body),
        };
        let shape = self.shape(&query, parsed.as_ref().ok());
        if self.plugins.is_loaded() {
            meta.request = Some(Arc::new(self.request_info(id, head, &meta)));
        }
        if self.settings.test_mode {
            meta.headers.push(("X-Daca-Test-Mode".into(), "1".into()));
        }
        if self.keeps_records() {
            meta.record =
                Some(self.begin_record(id, head, &meta, &query, parsed.as_ref().ok(), body));
        }
        let action = parsed.and_then(|body| Ok((name::resolve(head.method, path, &query)?, body)));
        let (action, body) = match action {
            Ok(both) => both,
            Err(error) => {
                let caller = Caller {
                    conn: id,
                    forwarded_for: meta.forwarded_for.as_deref(),
                    request: None,
                };
                let action = path.trim_start_matches('/');
                self.log_failure(&caller, action, &error);
                let answer = Err(error);
                self.fill_record(&mut meta, action, &answer);
                return self.respond_call(id, &meta, 200, &shape, answer);
            }
        };
        let escape = self.settings.html_escape;
        let action_name = action.name;
        let is_post = head.method != Method::Get;
        if let Some(path_id) = action.id {
            query.set("id", path_id);
        }
        let params = Params {
            query,
            body,
            escape,
        };
        let caller = Caller {
            conn: id,
            forwarded_for: meta.forwarded_for.as_deref(),
            request: meta.request.as_ref(),
        };
        match self.start_call(&caller, &action_name, params, is_post) {
            Progress::Done(answer) => self.finish_call(id, meta, shape, &action_name, answer),
            Progress::Wait(work, wait) => {
                let action = action_name.into();
                let reply = HttpReply {
                    meta,
                    shape,
                    action,
                };
                self.park(id, work, wait, ReplyAs::Http(Box::new(reply)));
            }
        }
    }

    fn answer_preflight(&mut self, id: ConnId, head: &Head<'_, '_>, meta: &Meta) {
        let asked = |name| head.header(name).map(String::from_utf8_lossy);
        let methods = asked("access-control-request-method");
        let names = asked("access-control-request-headers");
        let mut headers = vec![("Allow", METHODS)];
        if let Some(methods) = &methods {
            headers.push(("Access-Control-Allow-Methods", methods));
        }
        if let Some(names) = &names {
            headers.push(("Access-Control-Allow-Headers", names));
        }
        self.respond(id, meta, 200, CALL_TYPE, true, &headers, b"");
    }

    fn upgrade(&mut self, id: ConnId, head: &Head<'_, '_>) {
        if self
            .conn(id)
            .is_some_and(|conn| conn.input == InputState::Lost)
        {
            // It waited behind a call until its peer was gone: the frames behind it are nobody's.
            return self.linger(id);
        }
        let query = Form::parse(head.query.as_bytes());
        let allowed = head
            .header("origin")
            .is_none_or(|origin| self.admits_origin(head, origin));
        if !allowed {
            let text = "origin not allowed: see the setting allow_origin";
            return self.refuse(id, HttpError { status: 403, text });
        }
        if !self.admit(id, head, &query) {
            return self.refuse(
                id,
                HttpError {
                    status: 401,
                    text: "token required",
                },
            );
        }
        if self.is_stopping() {
            return self.refuse(
                id,
                HttpError {
                    status: 503,
                    text: "the server is stopping",
                },
            );
        }
        match handshake::accept(head, self.settings.deflate) {
            Ok(upgrade) => {
                let mut out = Vec::with_capacity(256);
                handshake::write_answer(&mut out, self.date.text(self.now), &upgrade);
                self.stats.upgrades += 1;
                self.send_reply(id, Bytes::from(out), false);
                let echo =
                    self.settings.echo && self.settings.base_path.below(head.path) == "/echo";
                if let Some(conn) = live(&mut self.conns, id) {
                    let ws = WebSocket {
                        deflate: upgrade.deflate,
                        echo,
                        ..WebSocket::default()
                    };
                    conn.phase = Phase::WebSocket(ws);
                }
            }
            Err(error) => self.refuse(id, error),
        }
    }
}
