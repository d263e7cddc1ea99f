//! How a run's callback goes out: queued by host, signed, counted and logged, handed to a worker, and taken back where
//! there was no room for it. Never says when a run begins or what its end means ([`super::runs`]).

use serde_json::Value;

use crate::limits::{
    CALLBACK_LOST_MS, DISPATCH_BUILT_MAX, DISPATCH_RETRY_MS, LOG_TEXT_BYTES_MAX,
    WORKERS_FULL_RETRY_MS,
};
use crate::message::{Callback, CallbackRequest};
use crate::proto::json;
use crate::proto::logtext::log_text;
use crate::state::dispatch::{Ended, HostKey};
use crate::state::timers::fields::Fields;
use crate::state::timers::machine::{Timers, TimersOutput};
use crate::state::timers::runs::{RunState, label};
use crate::state::timers::sign;

impl Timers {
    /// Hands out what has a slot and a worker.
    pub(super) fn send(&mut self) {
        if self.workers_full_until.is_some() || self.stopping {
            return;
        }
        while self.send_left > 0 {
            let Some((host, token)) = self.dispatch.take(self.settings.workers) else {
                return;
            };
            self.send_left -= 1;
            self.send_one(host, token);
        }
    }

    fn send_one(&mut self, host: HostKey, token: u32) {
        if self.is_stale(token) {
            self.dispatch.end(host, Ended::Otherwise);
            return self.leave(token);
        }
        let Some(run) = self.runs.get_mut(token.into()) else {
            return self.dispatch.end(host, Ended::Otherwise);
        };
        let timer = run.timer;
        let (is_announced, built) = (run.announced, run.built.take());
        self.built -= usize::from(built.is_some());
        let request = if is_announced && let Some(built) = built {
            *built
        } else {
            let fields = self.fields_by_id(timer);
            let request = match built {
                Some(built) => Ok(*built),
                None => self.build(&fields),
            };
            match request {
                Ok(request) => self.announce(token, &fields, request),
                Err(error) => {
                    self.dispatch.end(host, Ended::Otherwise);
                    return self.end_failed(token, &error.detail);
                }
            }
        };
        let default_ms = self.settings.http_call_timeout_ms;
        let Some(run) = self.runs.get_mut(token.into()) else {
            return;
        };
        let timeout_ms = run.call.timeout_ms.unwrap_or(default_ms);
        let lost_ms = self.now.mono_ms + timeout_ms + CALLBACK_LOST_MS;
        run.state = RunState::Out(host, lost_ms);
        if run.version == 0 && run.call.retry == 0 {
            run.taken = true;
            self.texts.remove(timer);
        }
        self.deadlines.insert((lost_ms, token));
        self.output(TimersOutput::Callback(Box::new(Callback {
            timer,
            version: token,
            request,
            timeout_ms,
        })));
    }

    /// Signs, counts and logs a try.
    fn announce(
        &mut self,
        token: u32,
        fields: &Fields,
        mut request: CallbackRequest,
    ) -> CallbackRequest {
        let now = self.now;
        let Some(run) = self.runs.get_mut(token.into()) else {
            return request;
        };
        run.announced = true;
        if run.failures == 0 {
            run.late_ms = now.mono_ms.saturating_sub(run.due_ms);
            let late_ms = run.late_ms;
            self.count_lateness(late_ms);
        }
        let Some(run) = self.runs.get(token.into()) else {
            return request;
        };
        if let Some(key) = &run.call.key {
            // A persistent one-shot keeps its message's id across restarts.
            let id = match self.book.get(run.timer) {
                Some(kept) if run.timer < 0 => format!("timer{}-{}", run.timer, kept.due_unix_ms),
                _ => format!("timer{}-{}-{}", run.timer, run.number, run.begun_unix_ms),
            };
            let body = request.body.as_deref().unwrap_or_default();
            let signature = sign::headers(key, &id, now.unix_ms / 1_000, body);
            request.headers.extend(signature);
        }
        self.counters.fired += 1;
        self.counters.retried += u64::from(run.failures > 0);
        let data = fields.get("data").unwrap_or(&Value::Null);
        let line = format!(
            "{} exec: httpCall({}, {})",
            label(run),
            log_text(&request.url, LOG_TEXT_BYTES_MAX),
            log_text(&json::to_text(data), LOG_TEXT_BYTES_MAX)
        );
        self.trace(&line);
        request
    }

    pub(super) fn handle_refused_callback(&mut self, callback: Callback) {
        let token = callback.version;
        let Some(run) = self.runs.get_mut(token.into()) else {
            return;
        };
        let RunState::Out(host, lost_ms) = run.state else {
            return;
        };
        run.state = RunState::Queued;
        run.built = Some(Box::new(callback.request));
        self.built += 1;
        self.deadlines.remove(&(lost_ms, token));
        self.dispatch.put_back(host, token);
        self.workers_full_until = Some(self.now.mono_ms + WORKERS_FULL_RETRY_MS);
    }

    /// Puts a run that waited into the queue again.
    pub(super) fn requeue(&mut self, token: u32) {
        if self.is_stale(token) {
            return self.leave(token);
        }
        let Some(timer) = self.runs.get(token.into()).map(|run| run.timer) else {
            return;
        };
        match self.build(&self.fields_by_id(timer)) {
            Ok(request) => {
                self.enqueue(token, request);
            }
            Err(error) => self.end_failed(token, &error.detail),
        }
    }

    /// Puts a run into the dispatch queue. `false` where that is full: it waits then, to be put in later.
    pub(super) fn enqueue(&mut self, token: u32, request: CallbackRequest) -> bool {
        let queued = self.dispatch.queue(&request.host, token);
        let spread_ms = self.random_below(DISPATCH_RETRY_MS);
        let Some(run) = self.runs.get_mut(token.into()) else {
            return false;
        };
        if queued.is_err() {
            let at_ms = self.now.mono_ms + DISPATCH_RETRY_MS + spread_ms;
            run.state = RunState::Waiting(at_ms);
            self.deadlines.insert((at_ms, token));
            return false;
        }
        run.state = RunState::Queued;
        if self.built < DISPATCH_BUILT_MAX {
            self.built += 1;
            run.built = Some(Box::new(request));
        }
        true
    }
}
