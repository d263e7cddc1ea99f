//! Which function does which job.

use std::path::PathBuf;

use crate::message::{Job, JobDone, SettingsDone};
use crate::settings::FileValues;
use crate::worker::{settings, static_file};

/// What workers need to know; all of it fixed at start.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The folder of static files, if there was one at start.
    pub static_dir: Option<PathBuf>,
    /// The settings file, if there is one.
    pub settings_file: Option<PathBuf>,
}

impl Work {
    /// Does a job; may block.
    pub fn run(&self, job: Job) -> JobDone {
        match job {
            Job::Callback(_) => todo!(),
            Job::File(job) => JobDone::File(Box::new(static_file::answer(
                self.static_dir.as_deref(),
                *job,
            ))),
            Job::Settings { reply_to } => {
                let outcome = match &self.settings_file {
                    Some(path) => settings::load(path),
                    None => Ok(FileValues::default()),
                };
                JobDone::Settings(Box::new(SettingsDone { reply_to, outcome }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_a_reload_finds_nothing_to_say() {
        let JobDone::Settings(done) = Work::default().run(Job::Settings { reply_to: None }) else {
            panic!("another kind of reply");
        };
        assert_eq!(done.outcome, Ok(FileValues::default()));
    }
}
