//! Requests: from a whole head to an answer in the queue. What a call does is in
//! [`super::calls`]; what RFC 9112 demands of a head is in [`crate::proto::request`].

use std::mem::MaybeUninit;

use bytes::Bytes;

use crate::call::answer::{Answer, Data};
use crate::call::name;
use crate::call::shape::Shape;
use crate::call::source::{Body, Params};
use crate::ids::ConnId;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, RENDERED_BYTES_COPIED_MAX, TICK_MS};
use crate::message::{FileDone, FileJob, Job};
use crate::pages;
use crate::proto::body::{BodyReader, Framing};
use crate::proto::etag;
use crate::proto::form::{Field, Form};
use crate::proto::handshake;
use crate::proto::mime;
use crate::proto::request::{self, Head, HttpError, Method};
use crate::proto::response::{self, Persistence, Response};
use crate::state::calls::{Caller, Progress, Wait, Work};
use crate::state::connection::{
    Incoming, InputState, Meta, Parked, Phase, Poll, ReplyAs, WebSocket,
};
use crate::state::server::{Output, Server, live, log_name};

const CALL_TYPE: &str = "text/plain; charset=UTF-8";
/// Type of getMsg's answers and of missing files, as the original sends it.
const BARE_TYPE: &str = "text/html";

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
                // A body may end with nothing more to read: an empty step would end the loop.
                Some(used.max(usize::from(data.is_empty())))
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
        self.wide = false;
        if head.upgrade {
            return self.upgrade(id, head);
        }
        let meta = self.meta(id, head);
        if let Some(origin) = head.header("origin")
            && !self.settings.allows_origin(origin)
        {
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
            Err(error) => return self.refuse(id, error),
        };
        let query = Form::parse(head.query.as_bytes());
        let is_call = path == "/" && (query.get("ac").is_some() || query.get("_ac").is_some());
        if let Some(mime) = mime::is_file_path(&path).filter(|_| !is_call) {
            return self.serve_file(id, head, meta, &path, mime);
        }
        if !self.has_token(head, &query) {
            let answer = Err(crate::call::error::CallError::new(2, "token required"));
            return self.respond_call(id, &meta, 401, &Shape::default(), answer);
        }
        if head.method == Method::Head {
            // What a call would answer is not known without running it, so neither is a length.
            return self.respond(id, &meta, 200, CALL_TYPE, true, &[], b"");
        }
        if path.trim_start_matches('/') == "getMsg" {
            return self.start_poll(id, meta, &query);
        }
        self.serve_call(id, head, meta, &path, query, body);
    }

    fn serve_call<'r>(
        &mut self,
        id: ConnId,
        head: &Head<'_, '_>,
        meta: Meta,
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
        let shape = Shape::new(&query, parsed.as_ref().ok());
        let action = parsed.and_then(|body| Ok((name::resolve(head.method, path, &query)?, body)));
        let (action, body) = match action {
            Ok(both) => both,
            Err(error) => {
                let caller = Caller {
                    conn: id,
                    forwarded_for: meta.forwarded_for.as_deref(),
                };
                self.log_failure(&caller, path.trim_start_matches('/'), &error);
                return self.respond_call(id, &meta, 200, &shape, Err(error));
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
        };
        match self.start_call(&caller, &action_name, params, is_post) {
            Progress::Done(answer) => {
                self.finish_call(id, &meta, &shape, &action_name, answer, self.wide)
            }
            Progress::Wait(work, wait) => {
                let action = action_name.into();
                self.park(
                    id,
                    work,
                    wait,
                    ReplyAs::Http {
                        meta,
                        shape,
                        action,
                    },
                );
            }
        }
    }

    /// Logs a failure and answers.
    fn finish_call(
        &mut self,
        id: ConnId,
        meta: &Meta,
        shape: &Shape,
        action: &str,
        answer: Answer,
        wide: bool,
    ) {
        self.wide = wide;
        if let Err(error) = &answer {
            let caller = Caller {
                conn: id,
                forwarded_for: meta.forwarded_for.as_deref(),
            };
            self.log_failure(&caller, action, error);
        }
        self.respond_call(id, meta, 200, shape, answer);
    }

    /// Keeps a call that waits; its connection is not read meanwhile.
    pub(super) fn park(&mut self, id: ConnId, work: Work, wait: Wait, reply: ReplyAs) {
        let wide = self.wide;
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        conn.parked = Some(Box::new(Parked { work, reply, wide }));
        match wait {
            Wait::Turn => self.resume.push_back(id),
            Wait::Bulk => self.lists.waiting.push_back(id),
            Wait::Job => {}
        }
    }

    /// Goes on with what a connection waited for, then with its input.
    pub(super) fn resume(&mut self, id: ConnId) {
        self.resume_with(id, None);
    }

    /// The same with the outcome of its job.
    pub(super) fn resume_with(&mut self, id: ConnId, done: Option<Answer>) {
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        if conn.input == InputState::Paused {
            conn.input = InputState::Open;
        }
        if let Some(parked) = conn.parked.take() {
            let Parked { work, reply, wide } = *parked;
            self.wide = wide;
            let forwarded_for = match &reply {
                ReplyAs::Http { meta, .. } => meta.forwarded_for.clone(),
                ReplyAs::WebSocket => None,
            };
            let caller = Caller {
                conn: id,
                forwarded_for: forwarded_for.as_deref(),
            };
            match self.continue_call(&caller, work, done) {
                Progress::Wait(work, wait) => return self.park(id, work, wait, reply),
                Progress::Done(answer) => match reply {
                    ReplyAs::Http {
                        meta,
                        shape,
                        action,
                    } => {
                        self.finish_call(id, &meta, &shape, &action, answer, self.wide);
                    }
                    ReplyAs::WebSocket => self.answer_push(id, answer),
                },
            }
        }
        self.process_carry(id);
        self.account_held(id);
        self.settle_end(id);
        if self.conn(id).is_some_and(|conn| conn.wants_bytes()) {
            self.output(Output::Resume(id));
        }
    }

    /// The answer of a call as a response.
    fn respond_call(
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
            (answer, _) => answer,
        };
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        let content_type = shape.write(&mut body, answer);
        self.respond(id, meta, status, content_type, true, &[], &body);
        body.shrink_to(crate::limits::SCRATCH_BYTES_MAX);
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
    fn respond(
        &mut self,
        id: ConnId,
        meta: &Meta,
        status: u16,
        content_type: &str,
        no_cache: bool,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
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

    fn queue_response(&mut self, id: ConnId, meta: &Meta, response: Response<'_>, body: &[u8]) {
        let mut out = Vec::with_capacity(320 + body.len());
        let date = self.date.text(self.now);
        let cors;
        let all;
        let headers = match &meta.origin {
            None => response.headers,
            Some(origin) => {
                cors = [
                    ("Access-Control-Allow-Origin", &**origin),
                    ("Access-Control-Allow-Credentials", "true"),
                    ("Vary", "Origin"),
                ];
                all = [&cors, response.headers].concat();
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

    fn meta(&self, id: ConnId, head: &Head<'_, '_>) -> Meta {
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

    fn has_token(&self, head: &Head<'_, '_>, query: &Form<'_>) -> bool {
        let token = &self.settings.token;
        if token.is_empty() {
            return true;
        }
        let bearer = head.header("authorization").and_then(|value| {
            let (scheme, rest) = value.split_at_checked(7)?;
            scheme
                .eq_ignore_ascii_case(b"bearer ")
                .then(|| rest.trim_ascii())
        });
        let named = match query.get("_token") {
            Some(Field::Text(text)) => Some(text.as_bytes()),
            _ => None,
        };
        bearer.is_some_and(|given| token.matches(given))
            || named.is_some_and(|given| token.matches(given))
    }

    /// Refuses a well-formed request; the connection may go on.
    fn refuse_politely(&mut self, id: ConnId, meta: &Meta, status: u16, text: &str) {
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
        let meta = Meta {
            persistence: Persistence::Close,
            head_only: false,
            origin: None,
            forwarded_for: None,
        };
        let headers: &[(&str, &str)] = match error.status {
            405 => &[("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")],
            426 => &handshake::VERSION_HEADERS,
            503 => &[("Retry-After", "1")],
            _ => &[],
        };
        self.stats.requests_refused += 1;
        self.wide = false;
        self.respond(
            id,
            &meta,
            error.status,
            CALL_TYPE,
            true,
            headers,
            format!("{}\n", error.text).as_bytes(),
        );
    }

    fn refuse_all(&mut self, id: ConnId, error: HttpError, rest: &[u8]) -> usize {
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

    fn answer_preflight(&mut self, id: ConnId, head: &Head<'_, '_>, meta: &Meta) {
        let asked = |name| head.header(name).map(String::from_utf8_lossy);
        let methods = asked("access-control-request-method");
        let names = asked("access-control-request-headers");
        let mut headers = vec![("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")];
        if let Some(methods) = &methods {
            headers.push(("Access-Control-Allow-Methods", methods));
        }
        if let Some(names) = &names {
            headers.push(("Access-Control-Allow-Headers", names));
        }
        self.respond(id, meta, 200, CALL_TYPE, true, &headers, b"");
    }

    fn upgrade(&mut self, id: ConnId, head: &Head<'_, '_>) {
        let query = Form::parse(head.query.as_bytes());
        let allowed = head
            .header("origin")
            .is_none_or(|origin| self.settings.allows_origin(origin));
        if !allowed {
            let text = "origin not allowed: see the setting allow_origin";
            return self.refuse(id, HttpError { status: 403, text });
        }
        if !self.has_token(head, &query) {
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
                let echo = self.settings.echo && head.path == "/echo";
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

    fn serve_file(
        &mut self,
        id: ConnId,
        head: &Head<'_, '_>,
        meta: Meta,
        path: &str,
        mime: &'static str,
    ) {
        if !matches!(head.method, Method::Get | Method::Head) {
            return self.refuse(
                id,
                HttpError {
                    status: 405,
                    text: "a file takes GET and HEAD",
                },
            );
        }
        let if_none_match = head
            .headers("if-none-match")
            .collect::<Vec<_>>()
            .join(&b", "[..]);
        if self.static_on_disk && !mime::is_hidden(path) {
            let job = FileJob {
                reply_to: id,
                path: path.to_owned(),
                if_none_match,
            };
            self.output(Output::Job(Job::File(Box::new(job))));
            let reply = ReplyAs::Http {
                meta,
                shape: Shape::default(),
                action: "".into(),
            };
            return self.park(id, Work::File, Wait::Job, reply);
        }
        let page = pages::find(path).filter(|_| !mime::is_hidden(path));
        let (status, tag, body) = match page {
            None => (404, "", &b""[..]),
            Some(page) if etag::is_named(&if_none_match, page.etag()) => {
                (304, page.etag(), &b""[..])
            }
            Some(page) => (200, page.etag(), page.bytes),
        };
        self.respond_file(id, &meta, status, mime, tag, body);
    }

    /// A worker read a file, or found none.
    pub(super) fn handle_file_done(&mut self, done: &FileDone) {
        let id = done.reply_to;
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let Some(Parked {
            reply: ReplyAs::Http { meta, .. },
            ..
        }) = conn.parked.take().map(|parked| *parked)
        else {
            return;
        };
        self.wide = false;
        self.respond_file(id, &meta, done.status, done.mime, &done.etag, &done.body);
        self.resume(id);
    }

    fn respond_file(
        &mut self,
        id: ConnId,
        meta: &Meta,
        status: u16,
        mime: &str,
        etag: &str,
        body: &[u8],
    ) {
        let mime = if status == 404 { BARE_TYPE } else { mime };
        let tag = [("ETag", etag)];
        let headers = if etag.is_empty() { &[][..] } else { &tag[..] };
        self.respond(id, meta, status, mime, true, headers, body);
    }

    fn start_poll(&mut self, id: ConnId, meta: Meta, query: &Form<'_>) {
        let text = |name| match query.get(name) {
            Some(Field::Text(text)) if !text.is_empty() => Some(text.as_ref()),
            _ => None,
        };
        let (app, user) = match (text("app"), text("user")) {
            (None, _) => return self.poll_error(id, &meta, "require param `app`"),
            (_, None) => return self.poll_error(id, &meta, "require param `user`"),
            (Some(app), Some(user)) => (app, user),
        };
        if app.len().max(user.len()) > crate::limits::NAME_BYTES_MAX {
            return self.poll_error(
                id,
                &meta,
                "params `app` and `user` must be at most 1024 bytes long",
            );
        }
        let due_ms = match text("timeout").map(str::trim).map(str::parse::<f64>) {
            None => None,
            Some(Ok(seconds)) if seconds >= 0.0 => Some(
                self.now
                    .mono_ms
                    .saturating_add((seconds * 1_000.0).ceil() as u64),
            ),
            Some(_) => {
                return self.poll_error(
                    id,
                    &meta,
                    "param `timeout` must be a number of seconds, e.g. 30 or 0.5",
                );
            }
        };
        let text = format!(
            "[app {}] add http user: {} #{}",
            log_name(app),
            log_name(user),
            id.generation
        );
        self.log(&text);
        self.hub.join(id.key, app, user, false);
        if let Some(due_ms) = due_ms {
            self.polls.insert((due_ms, id));
        }
        if let Some(conn) = live(&mut self.conns, id) {
            conn.phase = Phase::Poll(Box::new(Poll { meta, due_ms }));
            if conn.input != InputState::Open {
                self.drop_connection(id);
            }
        }
    }

    fn poll_error(&mut self, id: ConnId, meta: &Meta, text: &str) {
        self.respond(
            id,
            meta,
            200,
            BARE_TYPE,
            false,
            &[],
            format!("*** error: {text}").as_bytes(),
        );
    }

    /// Ends a long poll with a message, or with nothing at its timeout.
    pub(super) fn answer_poll(&mut self, id: ConnId, text: &str, wide: bool) {
        self.leave_hub(id);
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let since = (self.now.mono_ms / TICK_MS) as u32;
        let phase = std::mem::replace(
            &mut conn.phase,
            Phase::Head {
                scanned: 0,
                since,
                fresh: false,
            },
        );
        if let Phase::Poll(poll) = phase {
            let sender_is_wide = std::mem::replace(&mut self.wide, wide);
            self.respond(id, &poll.meta, 200, BARE_TYPE, false, &[], text.as_bytes());
            self.wide = sender_is_wide;
            // Requests may wait behind the poll.
            self.resume.push_back(id);
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
