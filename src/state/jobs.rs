//! What comes back of jobs and of the timer thread, or was refused there: whoever waits for it goes on, and a reload of
//! the settings takes effect.

use crate::call::answer::Answer;
use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::message::api_log::ApiLogDone;
use crate::message::{Job, JobDone, ProcessInfo, SettingsDone, TimerReply};
use crate::state::calls::{Work, too_busy};
use crate::state::connection::{Parked, ReplyAs};
use crate::state::server::{Output, Server, live};

impl<S> Server<S> {
    /// A worker is done with a job.
    pub(super) fn handle_job_done(&mut self, done: JobDone) {
        match done {
            JobDone::Callback(_) | JobDone::Task(_) => {}
            JobDone::File(done) => self.handle_file_done(&done),
            JobDone::ApiLog(done) => self.handle_api_log_done(*done),
            JobDone::Settings(done) => {
                let reply_to = done.reply_to;
                if let Some(answer) = self.apply_settings(*done)
                    && let Some(id) = reply_to
                {
                    self.resume_with(id, Some(answer));
                }
            }
            JobDone::Process(done) => self.continue_metrics(done.reply_to, &done.info),
            JobDone::Failed { reply_to } => {
                if let Some(id) = reply_to {
                    self.fail_job(
                        id,
                        CallError::new(4, "a worker failed: see the server's log"),
                    );
                }
            }
        }
    }

    /// The timer thread answers a call.
    pub(super) fn handle_timer_reply(&mut self, reply: TimerReply) {
        self.resume_with(reply.reply_to, Some(reply.answer));
    }

    /// A call found no place in the timer thread's queue.
    pub(super) fn handle_timer_refused(&mut self, id: ConnId) {
        self.resume_with(id, Some(Err(too_busy())));
    }

    /// A job found no place.
    pub(super) fn handle_job_refused(&mut self, job: &Job) {
        match job.reply_to() {
            Some(id) if matches!(job, Job::Process { .. }) => {
                self.continue_metrics(id, &ProcessInfo::default());
            }
            Some(id) => self.fail_job(id, too_busy()),
            None if matches!(job, Job::ApiLog(_)) => {
                if let JobDone::ApiLog(done) = job.failed() {
                    let outcome = Err("too many jobs wait for a worker".into());
                    self.handle_api_log_done(ApiLogDone { outcome, ..*done });
                }
            }
            None => self.end_reload("too busy, try again later"),
        }
    }

    fn fail_job(&mut self, id: ConnId, error: CallError) {
        let conn = live(&mut self.conns, id).filter(|conn| {
            let parked = conn.parked.as_ref();
            parked.is_some_and(|parked| matches!(parked.work, Work::File))
        });
        let Some(conn) = conn else {
            return self.resume_with(id, Some(Err(error)));
        };
        if let Some(Parked {
            reply: ReplyAs::Http(reply),
            ..
        }) = conn.parked.take().map(|parked| *parked)
        {
            self.wide = false;
            self.refuse_politely(
                id,
                &reply.meta,
                503,
                "too busy to read a file: try again later",
            );
        }
        self.resume(id);
    }

    /// Takes over what the settings file says; run-time values that it does not name stay. `None`: plugins are
    /// loaded first.
    fn apply_settings(&mut self, done: SettingsDone) -> Option<Answer> {
        match done.outcome {
            Ok((file, tls)) => {
                let new = self.settings.reloaded(&file);
                for (name, old, new) in self.settings.diff(&new) {
                    self.log(&format!("reload: {name}: {old} -> {new}"));
                }
                for name in self.settings.needs_restart(&file) {
                    self.log(&format!("reload: {name} changes with the next start"));
                }
                self.settings = new;
                self.output(Output::Settings(Box::new(self.settings.clone())));
                if let Some(config) = tls {
                    self.output(Output::Tls(config));
                }
                self.reload_plugins(done.reply_to, done.sources)
            }
            Err(text) => {
                self.end_reload(&format!("{text}; nothing was changed"));
                Some(Err(CallError::new(4, text)))
            }
        }
    }

    /// Says how a reload ended.
    pub(super) fn end_reload(&mut self, how: &str) {
        self.log(&format!("reload: {how}"));
        self.output(Output::Reloaded);
    }
}
