//! Which function does which job.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::ConnId;
#[cfg(feature = "lua")]
use crate::message::plugin::{PluginSources, TaskDone, TaskId, TaskJob, TaskOutcome, TaskWork};
#[cfg(not(feature = "lua"))]
use crate::message::plugin::{PluginSources, TaskJob};
use crate::message::{Job, JobDone, ProcessDone, SettingsDone};
use crate::proto::tls::TlsConfig;
use crate::settings::{FileValues, Settings};
use crate::worker::callback::Callbacks;
#[cfg(feature = "lua")]
use crate::worker::database::{Database, DatabaseSettings, Environment, Waiting};
#[cfg(feature = "lua")]
use crate::worker::plugin_files;
#[cfg(feature = "lua")]
use crate::worker::pool::Kept;
use crate::worker::pool::Labour;
#[cfg(feature = "lua")]
use crate::worker::task;
use crate::worker::{process, settings, static_file, tls};

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
    /// The database of plugins.
    #[cfg(feature = "lua")]
    pub database: Arc<Database<TaskId>>,
    /// What names it where the settings do not.
    #[cfg(feature = "lua")]
    pub environment: Environment,
}

impl Work {
    /// The settings that workers obey from now on. For the start and after every change.
    pub fn set_settings(&self, settings: &Settings) {
        self.callbacks.set(settings.into());
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
        let Some(path) = &self.settings_file else {
            return Ok((FileValues::default(), None));
        };
        let values = settings::load(path)?;
        let mut named = Settings::default();
        values.apply(&mut named);
        let dir = path.parent().unwrap_or(Path::new("."));
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
                let answered = self.database.run(task, job)?;
                TaskOutcome::Database(answered.done)
            }
            TaskWork::Http {
                request,
                timeout_ms,
            } => task::fetch(&self.callbacks, request, timeout_ms),
            TaskWork::Session(job) => task::session(&self.data_dir, job),
            TaskWork::Resolve { address } => task::resolve(&self.callbacks.guard(), &address),
        };
        Some(JobDone::Task(Box::new(TaskDone { task, outcome })))
    }

    #[cfg(not(feature = "lua"))]
    fn run_task(&self, job: TaskJob) -> Option<JobDone> {
        Some(Job::Task(Box::new(job)).failed())
    }
}

impl Labour for Work {
    fn run(&self, job: Job) -> Option<JobDone> {
        Some(match job {
            Job::Callback(callback) => JobDone::Callback(Box::new(self.callbacks.run(*callback))),
            Job::Task(job) => return self.run_task(*job),
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
            Waiting::Answered(answered) => Kept::Done(JobDone::Task(Box::new(TaskDone {
                task: answered.name,
                outcome: TaskOutcome::Database(answered.done),
            }))),
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
