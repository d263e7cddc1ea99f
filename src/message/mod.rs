//! What threads say to each other: plain owned data, each naming where its reply goes.

pub mod api_log;
pub mod database;
pub mod plugin;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::call::answer::Answer;
use crate::ids::ConnId;
use crate::message::api_log::{ApiLogDone, ApiRecord};
use crate::message::plugin::{
    EventDone, PluginCall, PluginSources, PluginsLoaded, SocketAction, TaskDone, TaskJob,
    TaskOutcome,
};
use crate::proto::tls::TlsConfig;
use crate::settings::{FileValues, Settings};

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

impl LogFile {
    /// All, in the order of their discriminants.
    pub const ALL: [LogFile; 4] = [
        LogFile::Server,
        LogFile::Trace,
        LogFile::Slow,
        LogFile::Debug,
    ];

    /// Its name in calls and on the console.
    pub fn name(self) -> &'static str {
        match self {
            LogFile::Server => "server",
            LogFile::Trace => "trace",
            LogFile::Slow => "slow",
            LogFile::Debug => "debug",
        }
    }
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
#[derive(Debug, PartialEq)]
pub enum DiskMsg {
    /// Append a line. No reply.
    Log(LogLine),
    /// A change of what is stored about timers. Reply: [`TimerMsg::Committed`] or [`TimerMsg::Refused`].
    Timer(Box<TimerRecord>),
    /// Which lines were written last. Reply: [`ReactorMsg::LogLines`].
    Tail(Box<LogQuery>),
    /// Open every log file anew, for they were moved away. No reply.
    Reopen,
    /// Write what came before this, then end. The reply is the end of the thread.
    Stop,
}

/// What is asked of the last lines of the logs, which the disk thread keeps in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// The call `logTail`; `None` for the consoles.
    pub reply_to: Option<ConnId>,
    /// Only lines with a greater number; 0 for all.
    pub after: u64,
    /// Only this log's; `None` for all.
    pub file: Option<LogFile>,
    /// Only lines that hold this, in any case; empty for all.
    pub text: Box<str>,
    /// So many at most, the newest.
    pub limit: usize,
}

/// A line as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailLine {
    /// Counts the lines of all logs since the start, from 1.
    pub number: u64,
    /// Where it went.
    pub file: LogFile,
    /// All of it but the line end; its start, where it is very long.
    pub text: Box<str>,
}

/// The answer to a [`LogQuery`].
#[derive(Debug, PartialEq, Eq)]
pub struct LogLines {
    /// As in the query.
    pub reply_to: Option<ConnId>,
    /// The number of the last line of all.
    pub last: u64,
    /// In the order in which they were written.
    pub lines: Vec<TailLine>,
}

/// To a worker: something that may block.
#[derive(Debug)]
pub enum Job {
    /// Read a file below the static root. Reply: [`JobDone::File`].
    File(Box<FileJob>),
    /// Call a URL. Reply: [`JobDone::Callback`], which goes to the timer thread.
    Callback(Box<Callback>),
    /// What a coroutine of a plugin waits for. Reply: [`JobDone::Task`], which goes to the plugin thread.
    Task(Box<TaskJob>),
    /// Read the settings file and the plugins anew. Reply: [`JobDone::Settings`].
    Settings {
        /// The call `reload`; `None` for a signal.
        reply_to: Option<ConnId>,
    },
    /// Write calls into the table ApiLog. Reply: [`JobDone::ApiLog`].
    ApiLog(Vec<ApiRecord>),
    /// Read what the kernel knows of this process. Reply: [`JobDone::Process`].
    Process {
        /// The request for `/metrics`.
        reply_to: ConnId,
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
    /// Of [`Job::Callback`].
    Callback(Box<CallbackDone>),
    /// Of [`Job::Task`].
    Task(Box<TaskDone>),
    /// Of [`Job::Settings`].
    Settings(Box<SettingsDone>),
    /// Of [`Job::ApiLog`].
    ApiLog(Box<ApiLogDone>),
    /// Of [`Job::Process`].
    Process(Box<ProcessDone>),
    /// The job panicked: a defect of ours. A call answers code 4, a request for a file 503.
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
    /// `Content-Security-Policy`; empty for none.
    pub policy: &'static str,
    /// The content; empty unless 200.
    pub body: Bytes,
}

/// What the kernel knows of this process.
#[derive(Debug)]
pub struct ProcessDone {
    /// As in the job.
    pub reply_to: ConnId,
    /// Whatever could be had.
    pub info: ProcessInfo,
}

/// What can be known of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessInfo {
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Open files at most.
    pub open_files_max: Option<u64>,
    /// Processor time, its own and the system's on its behalf.
    pub cpu_ms: Option<u64>,
}

/// The settings file, read.
#[derive(Debug)]
pub struct SettingsDone {
    /// As in the job.
    pub reply_to: Option<ConnId>,
    /// What it says and the certificate it names, or what is wrong with one of them (one line that names file and
    /// line).
    pub outcome: Result<(FileValues, Option<TlsConfig>), String>,
    /// The plugins' sources, or what is wrong with them.
    pub sources: Result<PluginSources, String>,
}

/// To the timer thread.
#[derive(Debug)]
pub enum TimerMsg {
    /// A call about timers. Reply: [`ReactorMsg::TimerReply`].
    Call(Box<TimerCall>),
    /// A callback ended, however. No reply.
    CallbackDone(Box<CallbackDone>),
    /// Every record up to `seq` is on disk. No reply.
    Committed {
        /// Of the last record written.
        seq: u64,
    },
    /// The disk did not take the records from `seq` on: all that were sent since, whether or not it has
    /// seen them yet, must be undone in reverse. Those sent hereafter carry a `generation` one higher,
    /// by which the disk tells them from those it still has to drop. No reply.
    Refused {
        /// Of the first record not written.
        seq: u64,
        /// For logs and answers.
        reason: Box<str>,
    },
    /// Settings changed. No reply.
    Settings(Box<Settings>),
    /// End in order: no new callbacks, the last records written. The reply is the end of the thread.
    Stop,
}

/// A call about timers.
#[derive(Debug)]
pub struct TimerCall {
    /// The connection that waits.
    pub reply_to: ConnId,
    /// What is asked.
    pub request: TimerRequest,
}

/// What can be asked of timers (contract 5, issue 3).
#[derive(Clone, Debug, PartialEq)]
pub enum TimerRequest {
    /// `setTimeout`: the body's fields in the order given.
    Set(Map<String, Value>),
    /// `Timer.set`: the fields to change.
    Change(TimerKey, Map<String, Value>),
    /// `Timer.enable`, `Timer.disable`.
    Enable(TimerKey, bool),
    /// `Timer.del`.
    Del(TimerKey),
    /// `Timer.get`.
    Get(TimerKey),
    /// `Timer.query`.
    Query {
        /// Only timers whose fields, as JSON, hold this; empty for all.
        text: Box<str>,
        /// So many at most; `usize::MAX` for all.
        limit: usize,
    },
    /// `Timer.clear`.
    Clear,
    /// `Timer.run`: now, beside its schedule.
    Run(TimerKey),
    /// `Timer.log`: the last runs.
    Log(TimerKey),
    /// `Timer.preview`: the next occurrences of a crontab line.
    Preview {
        /// The line.
        cron: String,
        /// IANA name; `None` for the host's zone.
        tz: Option<String>,
        /// Unix s, exclusive; `None` for the present.
        from: Option<i64>,
        /// How many.
        n: usize,
    },
    /// `Timer.failed`: persistent one-shots that used up their retries.
    Failed,
    /// `Timer.retry`: one of those again.
    Retry(i64),
}

/// How a call names a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerKey {
    /// Positive for a periodic timer, negative for a one-shot.
    Id(i64),
    /// `app-obj-key`.
    Code(String),
}

/// A change of what is stored about timers, for the disk thread. Reply: [`TimerMsg::Committed`] or
/// [`TimerMsg::Refused`].
#[derive(Debug, PartialEq)]
pub struct TimerRecord {
    /// Counts up by one, also past refused ones: no number is used twice.
    pub seq: u64,
    /// How many [`TimerMsg::Refused`] its sender had taken when it sent this; a record of an older
    /// generation was undone by its sender, so the disk drops it without a reply.
    pub generation: u32,
    /// What changed.
    pub change: TimerChange,
}

/// One change of what is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum TimerChange {
    /// A timer is new or has new fields; it keeps its place in the list if it has one.
    Put {
        /// Its id.
        id: i64,
        /// Its fields as compact JSON, `id` last.
        json: Box<str>,
    },
    /// A timer is gone.
    Del {
        /// Its id.
        id: i64,
    },
    /// All periodic timers are gone; ids go on.
    Clear,
    /// A persistent one-shot used up its retries and moves to the failed list (or, with `Put`, back).
    Fail {
        /// Its id.
        id: i64,
        /// Its fields as compact JSON, `id` last.
        json: Box<str>,
    },
    /// Counters: the next ids to give.
    Next {
        /// Of periodic timers.
        id: i64,
        /// Of persistent one-shots, negative.
        one_shot_id: i64,
    },
}

/// What the disk held at start.
#[derive(Debug, Default)]
pub struct StoredTimers {
    /// The next id of a periodic timer; at least 1 and greater than any there is.
    pub next_id: i64,
    /// The next id of a persistent one-shot, negative, less than any there is.
    pub next_one_shot_id: i64,
    /// Periodic timers in the list's order and persistent one-shots behind them: id and fields as
    /// they stand in the file.
    pub timers: Vec<(i64, Box<str>)>,
    /// One-shots that used up their retries.
    pub failed: Vec<(i64, Box<str>)>,
}

/// A URL to be called, checked and complete. Reply: [`TimerMsg::CallbackDone`].
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// The timer.
    pub timer: i64,
    /// Of the timer at that time; an answer to an older one is stale.
    pub version: u32,
    /// What to send and where.
    pub request: CallbackRequest,
    /// Time for all of it, ms.
    pub timeout_ms: u64,
}

/// What to send and where.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackRequest {
    /// `GET`, `POST` or another token.
    pub method: Box<str>,
    /// Absolute, `http` or `https`, escaped, no fragment, no user information.
    pub url: Box<str>,
    /// `host:port` in lower case: what the dispatch queues by.
    pub host: Box<str>,
    /// Checked: no framing headers, no CR or LF. Content-Type and Authorization included.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// The body; `None` for a request without.
    pub body: Option<Box<[u8]>>,
}

/// How a callback ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackDone {
    /// As in the callback.
    pub timer: i64,
    /// As in the callback.
    pub version: u32,
    /// As in the callback's request.
    pub host: Box<str>,
    /// Whether its time ran out: the host is slowed down.
    pub timed_out: bool,
    /// Status and the answer's first bytes as text, or why there was none.
    pub outcome: Result<(u16, Box<str>), Box<str>>,
    /// How long it took, ms.
    pub took_ms: u64,
}

/// To the reactor.
#[derive(Debug)]
pub enum ReactorMsg {
    /// A worker is done.
    JobDone(JobDone),
    /// The timer thread answers a call.
    TimerReply(Box<TimerReply>),
    /// The timer thread's counters changed.
    TimerCounters(Box<TimerCounters>),
    /// The disk thread tells the last lines of the logs.
    LogLines(Box<LogLines>),
    /// A plugin's coroutine makes a call.
    PluginCall(Box<PluginCall>),
    /// A plugin does something to one connection.
    SocketAction(Box<SocketAction>),
    /// Handlers of an event ended.
    EventDone(Box<EventDone>),
    /// Plugins were loaded, or were not.
    PluginsLoaded(Box<PluginsLoaded>),
}

/// What `stat` shows of the timers: counters and gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimerCounters {
    /// Timers that wait for their time, one-shots and others.
    pub pending: usize,
    /// Callbacks handed out, retries included.
    pub fired: u64,
    /// Runs that failed for good.
    pub failed: u64,
    /// Callbacks made again after a failure.
    pub retried: u64,
    /// Occurrences left out: overlap, or a full queue.
    pub skipped: u64,
    /// First tries by lateness, from due to handed out; see [`LATENESS_MS`].
    pub lateness: [u64; LATENESS_MS.len() + 1],
    /// How late all of those were together, ms.
    pub lateness_ms: u64,
    /// Callbacks that wait for a slot.
    pub queue_depth: usize,
    /// Callbacks that are with a worker.
    pub busy_workers: usize,
    /// Periodic timers, disabled ones too.
    pub periodic: usize,
    /// Records that the disk refused.
    pub refused: u64,
    /// Changes made to timers that are kept.
    pub changes: u64,
}

/// Upper bounds of the lateness histogram's classes, ms; one more class is for what is beyond.
pub const LATENESS_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000];

/// The answer to a [`TimerCall`].
#[derive(Debug)]
pub struct TimerReply {
    /// As in the call.
    pub reply_to: ConnId,
    /// The answer.
    pub answer: Answer,
}

impl Job {
    /// The connection that waits for it.
    pub fn reply_to(&self) -> Option<ConnId> {
        match self {
            Job::File(job) => Some(job.reply_to),
            Job::Callback(_) | Job::Task(_) | Job::ApiLog(_) => None,
            Job::Settings { reply_to } => *reply_to,
            Job::Process { reply_to } => Some(*reply_to),
        }
    }
}

impl Job {
    /// The reply where a worker failed to make one.
    pub fn failed(&self) -> JobDone {
        match self {
            Job::Callback(callback) => JobDone::Callback(Box::new(CallbackDone {
                timer: callback.timer,
                version: callback.version,
                host: callback.request.host.clone(),
                timed_out: false,
                outcome: Err("a worker failed: see the server's log".into()),
                took_ms: 0,
            })),
            Job::Task(job) => JobDone::Task(Box::new(TaskDone {
                task: job.task,
                outcome: TaskOutcome::Failed,
            })),
            Job::ApiLog(records) => JobDone::ApiLog(Box::new(ApiLogDone {
                records: records.len(),
                outcome: Err("a worker failed: see the server's log".into()),
            })),
            _ => JobDone::Failed {
                reply_to: self.reply_to(),
            },
        }
    }
}

impl JobDone {
    /// The connection that waits for it.
    pub fn reply_to(&self) -> Option<ConnId> {
        match self {
            JobDone::File(done) => Some(done.reply_to),
            JobDone::Callback(_) | JobDone::Task(_) | JobDone::ApiLog(_) => None,
            JobDone::Settings(done) => done.reply_to,
            JobDone::Process(done) => Some(done.reply_to),
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
        assert!(size_of::<TimerMsg>() <= 32);
        assert!(size_of::<ReactorMsg>() <= 32);
    }
}
