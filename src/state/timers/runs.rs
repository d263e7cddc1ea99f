//! A run: from due to answered. Overlap, retries, what `trace.log` says of its end. A run has a token, which its
//! callback carries as version, so an answer finds its run and a late one finds none. How it goes out is told in
//! [`super::sending`].

use crate::call::callback;
use crate::call::error::CallError;
use crate::limits::{
    CALLBACK_LOG_BYTES_MAX, DISPATCH_RETRY_MS, LOG_TEXT_BYTES_MAX, RETRY_WAIT_MS_MAX,
    TIMER_LOG_RUNS_MAX, TIMER_LOG_TEXT_BYTES_MAX,
};
use crate::message::{CallbackDone, CallbackRequest};
use crate::proto::logtext::log_text;
use crate::settings::Overlap;
use crate::state::dispatch::{Ended, HostKey};
use crate::state::timers::book::{Finished, RunRow};
use crate::state::timers::fields::{self, CallPlan, Fields, Plan};
use crate::state::timers::machine::Timers;
use crate::state::timers::schedule::is_over;

/// A run that is not over.
#[derive(Debug)]
pub struct Run {
    pub(super) timer: i64,
    /// The kept timer's version, 0 for other one-shots; a run of another version is stale.
    pub(super) version: u32,
    pub(super) number: u64,
    pub(super) code: Option<Box<str>>,
    pub(super) call: CallPlan,
    /// Failures so far.
    pub(super) failures: u32,
    /// When it was due, monotonic ms.
    pub(super) due_ms: u64,
    pub(super) begun_unix_ms: u64,
    pub(super) late_ms: u64,
    pub(super) state: RunState,
    /// The request, where it is kept while it waits.
    pub(super) built: Option<Box<CallbackRequest>>,
    /// Whether this try was signed, logged and counted: it comes back where no worker took it.
    pub(super) announced: bool,
    /// Whether the one-shot's text is gone because of this run, so it cannot be cancelled.
    pub(super) taken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunState {
    /// In the dispatch queue.
    Queued,
    /// With a worker; lost at that time, monotonic ms.
    Out(HostKey, u64),
    /// Until that time, monotonic ms, for a retry or for room in the queue.
    Waiting(u64),
}

impl Timers {
    /// Fields that a timer may have. Errors: code 1.
    pub(super) fn checked(&self, fields: &Fields) -> Result<Plan, CallError> {
        let plan = Plan::read(fields, &self.zone, self.zones)?;
        self.build(fields)?;
        Ok(plan)
    }

    /// The request that fields ask for. Errors: code 1.
    pub(super) fn build(&self, fields: &Fields) -> Result<CallbackRequest, CallError> {
        callback::build(fields)
    }

    /// A kept timer is due.
    pub(super) fn fire(&mut self, id: i64, late_ms: u64) {
        let default = self.settings.timer_overlap;
        let is_running = self.is_any_running(id);
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        let Ok(plan) = &kept.plan else {
            return;
        };
        match plan.overlap.unwrap_or(default) {
            Overlap::Allow => {}
            Overlap::Skip if is_running => {
                return self.skip(id, "its last run is not over");
            }
            Overlap::Queue if is_running => {
                kept.queued = true;
                return;
            }
            Overlap::Skip | Overlap::Queue => {}
        }
        kept.counted += 1;
        let is_counted = plan.max_runs.is_some();
        let is_last = is_over(plan, kept.counted, i64::MIN);
        self.start_run(id, late_ms);
        if is_last {
            self.unschedule(id);
        }
        if is_counted && id > 0 {
            self.store_progress(id);
        }
    }

    /// `Timer.run`: a run beside the schedule of a kept timer.
    pub(super) fn run_now(&mut self, id: i64) {
        if self.book.get(id).is_none_or(|kept| kept.finished.is_some()) {
            return;
        }
        if id < 0 {
            // Its one run, only earlier.
            self.unschedule(id);
        }
        self.start_run(id, 0);
    }

    fn start_run(&mut self, id: i64, late_ms: u64) {
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        let Ok(plan) = &kept.plan else {
            return;
        };
        kept.history.runs += 1;
        let run = Run {
            timer: id,
            version: kept.version,
            number: kept.history.runs,
            code: kept.code.clone(),
            call: plan.call.clone(),
            failures: 0,
            due_ms: self.now.mono_ms - late_ms.min(self.now.mono_ms),
            begun_unix_ms: self.now.unix_ms,
            late_ms,
            state: RunState::Queued,
            built: None,
            announced: false,
            taken: false,
        };
        let fields = kept.fields();
        let token = self.enter(run);
        self.running.insert((id, token));
        match self.build(&fields) {
            Ok(request) => {
                if !self.enqueue(token, request) && id > 0 {
                    self.leave(token);
                    self.skip(id, "too many callbacks wait");
                }
            }
            Err(error) => self.end_failed(token, &error.detail),
        }
    }

    /// A one-shot that is not kept is due. `request`: if it was built already.
    pub(super) fn fire_one_shot(
        &mut self,
        id: i64,
        due_ms: u64,
        request: Option<(Fields, CallbackRequest)>,
    ) {
        let built = match request {
            Some((fields, request)) => Ok((fields, request)),
            None => {
                let text = self.texts.get(id).unwrap_or_default();
                let fields: Fields = serde_json::from_str(text).unwrap_or_default();
                self.build(&fields).map(|request| (fields, request))
            }
        };
        // It was read once before; only what administrators allow may have changed.
        let plan = built.and_then(|(fields, request)| {
            Ok((CallPlan::read(&fields, &self.zone)?, fields, request))
        });
        let (call, fields, request) = match plan {
            Ok(plan) => plan,
            Err(error) => {
                self.texts.remove(id);
                self.counters.failed += 1;
                self.trace(&format!("timer{id} fails: {}", error.detail));
                return;
            }
        };
        let token = self.enter(Run {
            timer: id,
            version: 0,
            number: 1,
            code: fields::text(&fields, "code").map(|code| code.into()),
            call,
            failures: 0,
            due_ms,
            begun_unix_ms: self.now.unix_ms,
            late_ms: 0,
            state: RunState::Queued,
            built: None,
            announced: false,
            taken: false,
        });
        if !self.enqueue(token, request) {
            // It stays, and is not all at once with the others.
            self.leave(token);
            let spread_ms = self.random_below(DISPATCH_RETRY_MS);
            let _ = self
                .queue
                .add(id, self.now.mono_ms + DISPATCH_RETRY_MS + spread_ms);
        }
    }

    pub(super) fn handle_done(&mut self, done: CallbackDone) {
        let token = done.version;
        let Some(run) = self.runs.get(token.into()) else {
            return;
        };
        let RunState::Out(host, lost_ms) = run.state else {
            return;
        };
        if run.timer != done.timer {
            return;
        }
        let is_success = match &done.outcome {
            Ok((status, _)) => run.call.retry == 0 || (200..300).contains(status),
            Err(_) => false,
        };
        self.deadlines.remove(&(lost_ms, token));
        self.dispatch.end(
            host,
            match &done.outcome {
                _ if done.timed_out => Ended::TimedOut,
                Ok(_) => Ended::Answered,
                Err(_) => Ended::Otherwise,
            },
        );
        if is_success {
            self.end_run(token, &done, false);
        } else if !self.retry(token, &done) {
            self.end_run(token, &done, true);
        }
    }

    /// Runs that are lost, or to be tried again.
    pub(super) fn handle_deadlines(&mut self) {
        let mut left = crate::limits::DUE_PER_TURN;
        while left > 0
            && let Some(&(at_ms, token)) = self.deadlines.first()
            && at_ms <= self.now.mono_ms
        {
            left -= 1;
            self.deadlines.pop_first();
            let Some(run) = self.runs.get(token.into()) else {
                continue;
            };
            match run.state {
                RunState::Queued => {}
                RunState::Waiting(_) => self.requeue(token),
                RunState::Out(..) => {
                    let done = CallbackDone {
                        timer: run.timer,
                        version: token,
                        host: "".into(),
                        timed_out: true,
                        outcome: Err("its worker was lost".into()),
                        took_ms: self.now.mono_ms.saturating_sub(run.due_ms),
                    };
                    self.handle_done(done);
                }
            }
        }
    }

    /// Whether a run of that version is not over.
    pub(super) fn is_running(&self, id: i64, version: u32) -> bool {
        self.running
            .range((id, 0)..=(id, u32::MAX))
            .filter_map(|(_, token)| self.runs.get((*token).into()))
            .any(|run| run.version == version)
    }

    fn is_any_running(&self, id: i64) -> bool {
        self.running
            .range((id, 0)..=(id, u32::MAX))
            .next()
            .is_some()
    }

    /// Tries a failed run again later, if it has retries left.
    fn retry(&mut self, token: u32, done: &CallbackDone) -> bool {
        if self.is_stale(token) {
            return false;
        }
        let Some(run) = self.runs.get_mut(token.into()) else {
            return false;
        };
        if run.failures >= run.call.retry {
            return false;
        }
        run.failures += 1;
        let doubled = run.failures.min(32) - 1;
        let wait_ms = (run.call.retry_wait_ms << doubled).min(RETRY_WAIT_MS_MAX);
        let line = format!("{} fails: {}", label(run), outcome_text(done));
        let (retry, retries) = (run.failures, run.call.retry);
        // Half of it is certain, so that many that failed together come back apart.
        let wait_ms = wait_ms - self.random_below(wait_ms / 2 + 1);
        let at_ms = self.now.mono_ms + wait_ms;
        if let Some(run) = self.runs.get_mut(token.into()) {
            run.state = RunState::Waiting(at_ms);
            run.announced = false;
        }
        self.deadlines.insert((at_ms, token));
        self.trace(&format!(
            "{line}, retry {retry} of {retries} in {wait_ms} ms"
        ));
        true
    }

    /// Whether a run's timer was cancelled or changed since.
    pub(super) fn is_stale(&self, token: u32) -> bool {
        let Some(run) = self.runs.get(token.into()) else {
            return true;
        };
        if run.version == 0 {
            return !run.taken && self.texts.get(run.timer).is_none();
        }
        self.book
            .get(run.timer)
            .is_none_or(|kept| kept.version != run.version)
    }

    fn enter(&mut self, run: Run) -> u32 {
        loop {
            self.last_token = self.last_token.wrapping_add(1);
            if self.runs.get(self.last_token.into()).is_none() {
                break;
            }
        }
        self.runs.insert(self.last_token.into(), Box::new(run));
        self.last_token
    }

    pub(super) fn leave(&mut self, token: u32) {
        let Some(run) = self.runs.remove(token.into()) else {
            return;
        };
        self.built -= usize::from(run.built.is_some());
        self.running.remove(&(run.timer, token));
        if let RunState::Waiting(at_ms) | RunState::Out(_, at_ms) = run.state {
            self.deadlines.remove(&(at_ms, token));
        }
        self.fire_queued(run.timer);
    }

    /// The occurrence that waited for a run to end (`overlap=queue`).
    fn fire_queued(&mut self, id: i64) {
        if self.is_any_running(id) || self.stopping {
            return;
        }
        if let Some(kept) = self.book.get_mut(id)
            && kept.pending.is_none()
            && std::mem::take(&mut kept.queued)
        {
            self.fire(id, 0);
        }
    }

    /// A run that ends before it had a callback.
    pub(super) fn end_failed(&mut self, token: u32, reason: &str) {
        let Some(run) = self.runs.get(token.into()) else {
            return;
        };
        let done = CallbackDone {
            timer: run.timer,
            version: token,
            host: "".into(),
            timed_out: false,
            outcome: Err(reason.into()),
            took_ms: 0,
        };
        self.end_run(token, &done, true);
    }

    /// A run is over: logged, shown by `Timer.log`; a one-shot is done.
    fn end_run(&mut self, token: u32, done: &CallbackDone, is_failed: bool) {
        let is_stale = self.is_stale(token);
        let Some(run) = self.runs.get(token.into()) else {
            return;
        };
        let word = if is_failed { "fails" } else { "ret" };
        let line = format!("{} {word}: {}", label(run), outcome_text(done));
        let (timer, is_plain) = (run.timer, run.version == 0);
        let row = RunRow {
            number: run.number,
            unix_ms: run.begun_unix_ms,
            late_ms: run.late_ms,
            took_ms: done.took_ms,
            status: done.outcome.as_ref().ok().map(|(status, _)| *status),
            failed: is_failed,
            text: log_text(outcome_body(done), TIMER_LOG_TEXT_BYTES_MAX).into(),
        };
        self.counters.failed += u64::from(is_failed);
        self.trace(&line);
        if is_plain {
            self.texts.remove(timer);
        } else if !is_stale {
            let reason = row.text.clone();
            self.note(timer, row);
            if timer < 0 {
                let finished = if is_failed {
                    Finished::Failed(reason)
                } else {
                    Finished::Done
                };
                self.finish(timer, finished);
            }
        }
        self.leave(token);
    }

    fn note(&mut self, id: i64, row: RunRow) {
        if let Some(kept) = self.book.get_mut(id) {
            let history = &mut kept.history;
            history.failures = if row.failed { history.failures + 1 } else { 0 };
            if history.last.len() >= TIMER_LOG_RUNS_MAX {
                history.last.pop_front();
            }
            history.last.push_back(row);
        }
    }

    /// An occurrence that is left out.
    fn skip(&mut self, id: i64, reason: &str) {
        self.counters.skipped += 1;
        let code = self.book.get(id).and_then(|kept| kept.code.as_deref());
        let code = code.map_or(String::new(), |code| {
            format!(" {}", log_text(code, LOG_TEXT_BYTES_MAX))
        });
        self.trace(&format!("timer#{id}{code} skipped: {reason}"));
    }
}

/// `timer#ID-N CODE`, `timer-N` of a one-shot.
pub(super) fn label(run: &Run) -> String {
    let mut label = if run.timer > 0 {
        format!("timer#{}-{}", run.timer, run.number)
    } else {
        format!("timer{}", run.timer)
    };
    if let Some(code) = &run.code {
        label.push(' ');
        label.push_str(&log_text(code, LOG_TEXT_BYTES_MAX));
    }
    label
}

fn outcome_body(done: &CallbackDone) -> &str {
    match &done.outcome {
        Ok((_, body)) => body,
        Err(reason) => reason,
    }
}

/// `BODY (200, 12 ms)`, `REASON (12 ms)`.
fn outcome_text(done: &CallbackDone) -> String {
    let text = log_text(outcome_body(done), CALLBACK_LOG_BYTES_MAX);
    match &done.outcome {
        Ok((status, _)) => format!("{text} ({status}, {} ms)", done.took_ms),
        Err(_) => format!("{text} ({} ms)", done.took_ms),
    }
}
