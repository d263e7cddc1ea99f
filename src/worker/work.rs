//! Which function does which job.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::ConnId;
use crate::message::api_log::{ApiLogDone, ApiRecord};
#[cfg(feature = "lua")]
use crate::message::plugin::{PluginSources, TaskDone, TaskId, TaskJob, TaskOutcome, TaskWork};
#[cfg(not(feature = "lua"))]
use crate::message::plugin::{PluginSources, TaskJob};
use crate::message::{Job, JobDone, ProcessDone, SettingsDone};
use crate::proto::tls::TlsConfig;
use crate::settings::{FileValues, Settings};
use crate::worker::callback::Callbacks;
#[cfg(feature = "lua")]
use crate::worker::database::{Answered, Database, DatabaseSettings, Environment, Waiting};
#[cfg(feature = "lua")]
use crate::worker::plugin_files;
#[cfg(feature = "lua")]
use crate::worker::pool::Kept;
use crate::worker::pool::Labour;
#[cfg(feature = "lua")]
use crate::worker::session::SessionLocks;
use crate::worker::slow::Slow;
#[cfg(feature = "lua")]
use crate::worker::task;
use crate::worker::{process, settings, static_file, tls};

/// Who asked the database for something.
#[cfg(feature = "lua")]
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    /// A coroutine.
    Task(TaskId),
    /// ApiLog, with so many records.
    ApiLog(usize),
}

/// What workers need to know. Clones share the callbacks and the database, and with them their settings.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The folder of plugins and their data.
    pub data_dir: PathBuf,
    /// The folder of static files, if there was one at start.
    pub static_dir: Option<PathBuf>,
    /// The settings file, if there is one.
    pub settings_file: Option<PathBuf>,
    /// What calls URLs.
    pub callbacks: Arc<Callbacks>,
    /// What is told of slow work.
    pub slow: Arc<Slow>,
    /// Who changes which session.
    #[cfg(feature = "lua")]
    pub sessions: Arc<SessionLocks>,
    /// The database of plugins.
    #[cfg(feature = "lua")]
    pub database: Arc<Database<Asker>>,
    /// What names it where the settings do not.
    #[cfg(feature = "lua")]
    pub environment: Environment,
}

impl Work {
    /// The settings that workers obey from now on. For the start and after every change.
    pub fn set_settings(&self, settings: &Settings) {
        self.callbacks.set(settings.into());
        self.slow.set(settings);
        #[cfg(feature = "lua")]
        self.database.set(DatabaseSettings::new(
            settings,
            &self.environment,
            &self.data_dir,
        ));
    }

    /// Cuts the callbacks and the statements that run; each still gets its reply, and so do later ones. For
    /// the end.
    pub fn interrupt(&self) {
        self.callbacks.interrupt();
        #[cfg(feature = "lua")]
        self.database.interrupt();
    }

    /// The sources of all plugins, as [`plugin_files::read`] finds them.
    #[cfg(feature = "lua")]
    pub fn plugin_sources(&self) -> Result<PluginSources, String> {
        plugin_files::read(&self.data_dir)
    }

    /// None: this build runs no plugins.
    #[cfg(not(feature = "lua"))]
    pub fn plugin_sources(&self) -> Result<PluginSources, String> {
        Ok(PluginSources::default())
    }

    /// What the settings file says, with the certificate that it names: both are right, or nothing is.
    fn read_settings(&self) -> Result<(FileValues, Option<TlsConfig>), String> {
        let path = self.settings_file.as_deref();
        let values = settings::load(path)?;
        let mut named = Settings::default();
        values.apply(&mut named);
        let dir = path.and_then(Path::parent).unwrap_or(Path::new("."));
        let tls = tls::load(&named, dir)?;
        Ok((values, tls))
    }

    fn load_settings(&self, reply_to: Option<ConnId>) -> SettingsDone {
        SettingsDone {
            reply_to,
            outcome: self.read_settings(),
            sources: self.plugin_sources(),
        }
    }

    #[cfg(feature = "lua")]
    fn run_task(&self, job: TaskJob) -> Option<JobDone> {
        let task = job.task;
        let outcome = match job.work {
            TaskWork::Database(job) => {
                let answered = self.database.run(Asker::Task(task), job)?;
                return Some(self.reply(answered));
            }
            TaskWork::Http {
                request,
                timeout_ms,
            } => {
                let url = request.url.clone();
                let outcome = task::fetch(&self.callbacks, request, timeout_ms);
                if let TaskOutcome::Http { took_ms, .. } = &outcome {
                    self.slow.handle_url(&url, *took_ms);
                }
                outcome
            }
            TaskWork::Session(job) => task::session(&self.data_dir, &self.sessions, job),
            TaskWork::Resolve { address } => task::resolve(&self.callbacks.guard(), &address),
        };
        Some(JobDone::Task(Box::new(TaskDone { task, outcome })))
    }

    #[cfg(feature = "lua")]
    fn write_records(&self, records: Vec<ApiRecord>) -> Option<JobDone> {
        let asker = Asker::ApiLog(records.len());
        let answered = self.database.log(asker, records)?;
        Some(self.reply(answered))
    }

    #[cfg(not(feature = "lua"))]
    fn write_records(&self, records: Vec<ApiRecord>) -> Option<JobDone> {
        Some(JobDone::ApiLog(Box::new(ApiLogDone {
            records: records.len(),
            outcome: Err("this build has no database".into()),
        })))
    }

    /// The reply to whoever asked the database.
    #[cfg(feature = "lua")]
    fn reply(&self, answered: Answered<Asker>) -> JobDone {
        if let Some((sql, took)) = &answered.took {
            self.slow.handle_statement(sql, *took);
        }
        match answered.name {
            Asker::Task(task) => JobDone::Task(Box::new(TaskDone {
                task,
                outcome: TaskOutcome::Database(answered.done),
            })),
            Asker::ApiLog(records) => JobDone::ApiLog(Box::new(ApiLogDone {
                records,
                outcome: answered.done.map(|_| ()),
            })),
        }
    }

    #[cfg(not(feature = "lua"))]
    fn run_task(&self, job: TaskJob) -> Option<JobDone> {
        Some(Job::Task(Box::new(job)).failed())
    }
}

impl Labour for Work {
    fn run(&self, job: Job) -> Option<JobDone> {
        Some(match job {
            Job::Callback(callback) => {
                let url = callback.request.url.clone();
                let done = self.callbacks.run(*callback);
                self.slow.handle_url(&url, done.took_ms);
                JobDone::Callback(Box::new(done))
            }
            Job::Task(job) => return self.run_task(*job),
            Job::ApiLog(records) => return self.write_records(records),
            Job::Process { reply_to } => JobDone::Process(Box::new(ProcessDone {
                reply_to,
                info: process::read(),
            })),
            Job::File(job) => {
                let root = self.static_dir.as_deref();
                JobDone::File(Box::new(static_file::answer(root, *job)))
            }
            Job::Settings { reply_to } => JobDone::Settings(Box::new(self.load_settings(reply_to))),
        })
    }

    #[cfg(feature = "lua")]
    fn poll(&self) -> Kept {
        match self.database.poll() {
            Waiting::Answered(answered) => Kept::Done(self.reply(answered)),
            Waiting::Until(wait) => Kept::Until(wait),
            Waiting::None => Kept::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SETTINGS_FILE_BYTES_MAX;
    use crate::test_dir::TestDir;
    use crate::worker::WorkerPool;
    use crossbeam_channel::unbounded;

    #[test]
    fn without_a_file_a_reload_finds_nothing_to_say() {
        let done = Work::default().run(Job::Settings { reply_to: None });
        let Some(JobDone::Settings(done)) = done else {
            panic!("another kind of reply");
        };
        let (values, tls) = done.outcome.expect("right");
        assert_eq!((values, tls.is_none()), (FileValues::default(), true));
    }

    #[test]
    fn the_deepest_settings_file_fits_a_workers_stack() {
        let dir = TestDir::new("work-deep");
        let path = dir.0.join("jdserver.toml");
        let depth = SETTINGS_FILE_BYTES_MAX as usize - 10;
        for deep in ["[", "{a=", "a."] {
            std::fs::write(&path, format!("a = {}", deep.repeat(depth / deep.len())))
                .expect("written");
            let work = Work {
                settings_file: Some(path.clone()),
                ..Work::default()
            };
            let (replies, outcomes) = unbounded();
            let pool = WorkerPool::new(1, work, move |done| {
                let _ = replies.send(done);
            });
            assert!(pool.submit(Job::Settings { reply_to: None }).is_ok());
            match outcomes.recv() {
                Ok(JobDone::Settings(done)) => assert!(done.outcome.is_err(), "{deep}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
