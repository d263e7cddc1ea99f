//! Calls URLs: sends a [`Callback`]'s request, follows redirects, reads as much of the answer as
//! is taken. What a timer makes of the outcome is [`crate::state`]'s business.
//!
//! Connections are kept per host and used again. A server may close one in the moment it is used:
//! ureq notices a close that came before (it probes a connection when it takes it), and a GET that
//! loses this race is sent once more here. A POST is not, for the server may have acted on it; it fails as
//! `connection closed …`. [`CALLBACK_IDLE_MS_MAX`](crate::limits::CALLBACK_IDLE_MS_MAX) makes that rare.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use ureq::http::{Request, Response, header, request};
use ureq::{Agent, AsSendBody, Body};

use crate::limits::{
    CALLBACK_ANSWER_BYTES_MAX, CALLBACK_ANSWER_KEPT_BYTES_MAX, CALLBACK_REDIRECTS_MAX,
    CALLBACK_TIMEOUT_MS_MAX, PLUGIN_ANSWER_BYTES_MAX,
};
use crate::message::{Callback, CallbackDone, CallbackRequest};
use crate::proto::url::Url;
use crate::worker::client::{self, CallbackSettings};
use crate::worker::failure::{Failure, is_end};
use crate::worker::resolver::Guard;

/// Calls URLs for any thread, by settings that may change meanwhile.
pub struct Callbacks {
    current: RwLock<Current>,
}

struct Current {
    settings: CallbackSettings,
    client: Arc<Client>,
    /// Those before it whose calls may still run.
    retired: Vec<Weak<Client>>,
    is_ended: bool,
}

/// How a call of a URL ended.
#[derive(Debug)]
pub struct Call {
    /// Status and body, or why there was none.
    pub outcome: Result<(u16, Vec<u8>), Box<str>>,
    /// Whether its time ran out.
    pub timed_out: bool,
    /// How long it took, ms.
    pub took_ms: u64,
}

/// How much of an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// The first bytes, for logs.
    Start,
    /// All of it; too long a one is an error.
    Whole,
}

struct Client {
    settings: CallbackSettings,
    /// Made at the first call: TLS and its certificates are not for a daemon that calls nobody.
    agent: OnceLock<Agent>,
}

impl Default for Callbacks {
    fn default() -> Self {
        let settings = CallbackSettings::default();
        Callbacks {
            current: RwLock::new(Current {
                client: Client::new(&settings),
                settings,
                retired: Vec::new(),
                is_ended: false,
            }),
        }
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}

impl Callbacks {
    /// Calls that begin from now on obey these settings, on connections of their own if they differ.
    pub fn set(&self, settings: CallbackSettings) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.settings == settings {
            return;
        }
        let client = Client::new(&settings);
        let before = std::mem::replace(&mut current.client, client);
        current.retired.retain(|client| client.strong_count() > 0);
        current.retired.push(Arc::downgrade(&before));
        current.settings = settings;
    }

    /// Cuts the calls that run, and every later one. A name being looked up or a connection being
    /// opened is not cut: that ends by its call's timeout.
    pub fn interrupt(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.is_ended = true;
        let retired = std::mem::take(&mut current.retired);
        let before = retired.iter().filter_map(Weak::upgrade);
        for client in before.chain([Arc::clone(&current.client)]) {
            if let Some(agent) = client.agent.get() {
                agent.clone().shutdown();
            }
        }
    }

    /// Sends the request and waits for the answer, at most as long as the callback says. Never panics.
    pub fn run(&self, callback: Callback) -> CallbackDone {
        let call = self.call(&callback.request, callback.timeout_ms, Keep::Start);
        CallbackDone {
            timer: callback.timer,
            version: callback.version,
            timed_out: call.timed_out,
            outcome: call.outcome.map(|(status, body)| {
                let is_cut = body.len() == CALLBACK_ANSWER_KEPT_BYTES_MAX;
                (status, text_of(&body, is_cut))
            }),
            took_ms: call.took_ms,
            host: callback.request.host,
        }
    }

    /// The same for a plugin, which gets the whole answer. Never panics.
    pub fn fetch(&self, request: &CallbackRequest, timeout_ms: u64) -> Call {
        self.call(request, timeout_ms, Keep::Whole)
    }

    fn call(&self, request: &CallbackRequest, timeout_ms: u64, keep: Keep) -> Call {
        let start = Instant::now();
        let timeout_ms = timeout_ms.clamp(1, CALLBACK_TIMEOUT_MS_MAX);
        let deadline = start + Duration::from_millis(timeout_ms);
        let client = self.client();
        let outcome = if self.is_ended() {
            Err(Failure::Connection(ErrorKind::Interrupted.into()))
        } else {
            catch_unwind(AssertUnwindSafe(|| {
                client.exchange(request, deadline, keep)
            }))
            .unwrap_or(Err(Failure::Internal))
        };
        Call {
            timed_out: matches!(outcome, Err(Failure::Timeout)),
            outcome: outcome.map_err(|failure| match failure {
                Failure::Timeout => format!("timeout after {timeout_ms} ms").into(),
                Failure::Connection(_) if self.is_ended() => "interrupted: the daemon stops".into(),
                failure => failure.to_string().into(),
            }),
            took_ms: start.elapsed().as_millis() as u64,
        }
    }

    /// Which addresses may be called.
    pub fn guard(&self) -> Guard {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.settings.guard.clone()
    }

    fn client(&self) -> Arc<Client> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.client)
    }

    fn is_ended(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.is_ended
    }
}

impl Client {
    fn new(settings: &CallbackSettings) -> Arc<Self> {
        Arc::new(Client {
            settings: settings.clone(),
            agent: OnceLock::new(),
        })
    }

    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| client::agent(&self.settings))
    }

    /// Status and first bytes of the last answer.
    fn exchange(
        &self,
        request: &CallbackRequest,
        deadline: Instant,
        keep: Keep,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let mut hop = Hop::First;
        for _ in 0..=CALLBACK_REDIRECTS_MAX {
            let mut answer = self.send(request, &hop, deadline)?;
            let body = read(answer.body_mut(), keep)?;
            match location(request, &answer) {
                None => return Ok((answer.status().as_u16(), body)),
                Some(location) => hop = hop.next(request, &location)?,
            }
        }
        Err(Failure::Redirect(format!(
            "more than {CALLBACK_REDIRECTS_MAX}"
        )))
    }

    fn send(
        &self,
        request: &CallbackRequest,
        hop: &Hop,
        deadline: Instant,
    ) -> Result<Response<Body>, Failure> {
        let (outcome, attempt) = client::attempt(|| self.send_once(request, hop, deadline));
        let is_stale = !attempt.connected
            && !attempt.answered
            && &*request.method == "GET"
            && matches!(&outcome, Err(Failure::Connection(error)) if is_end(error));
        match is_stale {
            true => self.send_once(request, hop, deadline),
            false => outcome,
        }
    }

    fn send_once(
        &self,
        request: &CallbackRequest,
        hop: &Hop,
        deadline: Instant,
    ) -> Result<Response<Body>, Failure> {
        let mut head = Request::builder().method(&*request.method);
        head = match hop {
            Hop::First => head.uri(&*request.url),
            Hop::Redirected { url, .. } => head.uri(url.to_string()),
        };
        for (name, value) in &request.headers {
            if hop.takes(name) {
                head = head.header(&**name, value.as_bytes());
            }
        }
        match &request.body {
            Some(body) => self.run(head, &body[..], deadline),
            // These say that they have none (RFC 9110, 8.6).
            None if matches!(&*request.method, "POST" | "PUT" | "PATCH") => {
                self.run(head, &[][..], deadline)
            }
            None => self.run(head, (), deadline),
        }
    }

    fn run(
        &self,
        head: request::Builder,
        body: impl AsSendBody,
        deadline: Instant,
    ) -> Result<Response<Body>, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Timeout);
        }
        let request = head.body(body).map_err(ureq::Error::from)?;
        let request = self
            .agent()
            .configure_request(request)
            .timeout_global(Some(left))
            .build();
        Ok(self.agent().run(request)?)
    }
}

/// Which request of a chain of redirects.
enum Hop {
    First,
    Redirected {
        url: Url,
        /// It still goes to the server that it was made for.
        at_home: bool,
    },
}

impl Hop {
    /// Whether a header goes along: what was meant for one server is not told another.
    fn takes(&self, name: &str) -> bool {
        let is_private = ["Authorization", "Cookie", "Host"]
            .iter()
            .any(|private| private.eq_ignore_ascii_case(name));
        match self {
            Hop::First => true,
            Hop::Redirected { at_home, .. } => *at_home || !is_private,
        }
    }

    fn next(self, request: &CallbackRequest, location: &str) -> Result<Hop, Failure> {
        let failure = |error| Failure::Redirect(format!("{error}"));
        let (from, was_at_home) = match self {
            Hop::First => (Url::parse(&request.url).map_err(failure)?, true),
            Hop::Redirected { url, at_home } => (url, at_home),
        };
        let url = from.join(location).map_err(failure)?;
        let at_home = was_at_home && url.is_same_origin(&from);
        Ok(Hop::Redirected { url, at_home })
    }
}

/// Where the answer to a GET sends its sender.
fn location(request: &CallbackRequest, answer: &Response<Body>) -> Option<String> {
    let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !is_redirect || &*request.method != "GET" || request.body.is_some() {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Reads the body up to its bound; what of it is kept. What is read to its end leaves a connection that can be used
/// again.
fn read(body: &mut Body, keep: Keep) -> Result<Vec<u8>, Failure> {
    let (read_max, kept_max) = match keep {
        Keep::Start => (CALLBACK_ANSWER_BYTES_MAX, CALLBACK_ANSWER_KEPT_BYTES_MAX),
        Keep::Whole => (PLUGIN_ANSWER_BYTES_MAX + 1, PLUGIN_ANSWER_BYTES_MAX),
    };
    let mut reader = body.as_reader();
    let mut kept = Vec::new();
    let mut piece = [0; 4 << 10];
    let mut total = 0;
    while total < read_max {
        let length = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => return Err(ureq::Error::from(error).into()),
        };
        total += length;
        let room = kept_max - kept.len();
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
    match keep {
        Keep::Whole if total > kept_max => {
            Err(Failure::Answer(format!("longer than {kept_max} bytes")))
        }
        _ => Ok(kept),
    }
}

/// As text; a character that was cut off at the end is left out.
fn text_of(bytes: &[u8], is_cut: bool) -> Box<str> {
    let whole = match str::from_utf8(bytes) {
        Err(error) if is_cut && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).into()
}

#[cfg(test)]
mod tests;
