//! What threads say to each other: plain owned data, each naming where its reply goes.

use bytes::Bytes;

use crate::ids::ConnId;
use crate::settings::FileValues;

/// A log file, owned by the disk thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// The server's own log: standard error or `log_file`.
    Server,
    /// `trace.log`: failed calls, timers.
    Trace,
    /// `slow.log`: calls that took long.
    Slow,
    /// `debug.log`: what was asked to be logged.
    Debug,
}

/// One line for a log file.
#[derive(Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it goes.
    pub file: LogFile,
    /// All of it but the line end, as [`crate::proto::logtext`] makes it.
    pub text: String,
}

/// To the disk thread.
#[derive(Debug, PartialEq, Eq)]
pub enum DiskMsg {
    /// Append a line. No reply.
    Log(LogLine),
    /// Open every log file anew, for they were moved away. No reply.
    Reopen,
    /// Write what came before this, then end. The reply is the end of the thread.
    Stop,
}

/// To a worker: something that may block.
#[derive(Debug)]
pub enum Job {
    /// Read a file below the static root. Reply: [`JobDone::File`].
    File(Box<FileJob>),
    /// Read the settings file anew. Reply: [`JobDone::Settings`].
    Settings {
        /// The call `reload`; `None` for a signal.
        reply_to: Option<ConnId>,
    },
}

/// What to read.
#[derive(Debug)]
pub struct FileJob {
    /// The connection that waits.
    pub reply_to: ConnId,
    /// Decoded path, `/` or with a known extension ([`crate::proto::mime`]).
    pub path: String,
    /// Values of `If-None-Match`, joined by commas; empty for none.
    pub if_none_match: Vec<u8>,
}

/// From a worker: what became of a [`Job`]. Exactly one for each.
#[derive(Debug)]
pub enum JobDone {
    /// Of [`Job::File`].
    File(Box<FileDone>),
    /// Of [`Job::Settings`].
    Settings(Box<SettingsDone>),
    /// The job panicked: a defect of ours. A call answers 500.
    Failed {
        /// As in the job.
        reply_to: Option<ConnId>,
    },
}

/// The answer to a request for a file.
#[derive(Debug)]
pub struct FileDone {
    /// As in the job.
    pub reply_to: ConnId,
    /// 200, 304 or 404.
    pub status: u16,
    /// `Content-Type`.
    pub mime: &'static str,
    /// `ETag`; empty for none.
    pub etag: String,
    /// The content; empty unless 200.
    pub body: Bytes,
}

/// The settings file, read.
#[derive(Debug)]
pub struct SettingsDone {
    /// As in the job.
    pub reply_to: Option<ConnId>,
    /// What it says, or what is wrong with it (one line that names file and line).
    pub outcome: Result<FileValues, String>,
}

impl Job {
    /// The connection that waits for it.
    pub fn reply_to(&self) -> Option<ConnId> {
        match self {
            Job::File(job) => Some(job.reply_to),
            Job::Settings { reply_to } => *reply_to,
        }
    }
}

impl JobDone {
    /// The connection that waits for it.
    pub fn reply_to(&self) -> Option<ConnId> {
        match self {
            JobDone::File(done) => Some(done.reply_to),
            JobDone::Settings(done) => done.reply_to,
            JobDone::Failed { reply_to } => *reply_to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A channel allocates all its slots when it is made.
    #[test]
    fn messages_are_small() {
        assert!(size_of::<DiskMsg>() <= 32);
        assert!(size_of::<Job>() <= 32);
        assert!(size_of::<JobDone>() <= 32);
    }
}
