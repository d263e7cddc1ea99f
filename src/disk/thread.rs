//! The disk thread's loop: wait for one message, take all that is there, write once per file; logs first, for
//! they are not synced.

use std::io::{self, Write};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{at, never, select};
use jiff::tz::TimeZone;

use crate::disk::files::RealFiles;
use crate::disk::keeper::{Keeper, Reply};
use crate::disk::log_files::LogFiles;
use crate::disk::sender::{LogReceiver, LogSender, TimerSender, channel};
use crate::disk::store::Merged;
use crate::disk::timers::TimerStore;
use crate::limits::{LOG_BATCH_BYTES_MAX, TIMER_RECORDS_MAX};
use crate::message::{DiskMsg, LogFile, TimerMsg};
use crate::proto::logtext::LogTime;

/// The running disk thread.
#[derive(Debug)]
pub struct Disk {
    /// The way to it for log lines.
    pub sender: LogSender,
    /// The way to it for timers; without [`Timers`] nothing answers there.
    pub timers: TimerSender,
    /// Ends after [`LogSender::stop`].
    pub thread: JoinHandle<()>,
}

/// What the disk thread needs to keep timers.
pub struct Timers {
    /// From [`super::timers::load`].
    pub store: TimerStore,
    /// Takes [`crate::message::TimerMsg::Committed`] and `Refused` to the timer thread; it may wait, and
    /// does nothing once that thread is gone.
    pub reply: Box<dyn Fn(TimerMsg) + Send>,
}

/// Starts the disk thread. The server's own log goes to `log_file`, opened before this returns,
/// or to standard error. Without `timers` it only writes logs.
/// Errors: `log_file` cannot be opened (the path is in the text), no thread.
pub fn spawn(
    data_dir: &Path,
    log_file: Option<&Path>,
    zone: TimeZone,
    timers: Option<Timers>,
) -> io::Result<Disk> {
    let files = LogFiles::open(data_dir, log_file).map_err(|error| {
        let path = log_file.unwrap_or(data_dir).display();
        io::Error::new(error.kind(), format!("cannot open the log {path}: {error}"))
    })?;
    let (sender, timer_sender, receiver) = channel();
    let time = LogTime::new(zone);
    let thread = std::thread::Builder::new()
        .name("disk".to_owned())
        .spawn(move || run(files, &receiver, time, timers))?;
    Ok(Disk {
        sender,
        timers: timer_sender,
        thread,
    })
}

fn run(mut files: LogFiles, receiver: &LogReceiver, mut time: LogTime, timers: Option<Timers>) {
    let started = Instant::now();
    let mut keeper = timers.map(|Timers { store, reply }| {
        let reply: Reply = reply;
        Keeper::new(store.0, reply, started)
    });
    loop {
        let mut notices = Vec::new();
        let is_last = match wait(receiver, keeper.as_ref()) {
            Wake::Message(first) => collect(&mut files, receiver, keeper.as_mut(), first),
            Wake::Merged(merged) => {
                notices.extend(
                    keeper
                        .as_mut()
                        .and_then(|keeper| keeper.handle_merged(merged, Instant::now())),
                );
                false
            }
            Wake::Time => false,
            Wake::Alone => return,
        };
        write_logs(&mut files, receiver, &mut time, started, notices);
        let Some(keeper) = &mut keeper else {
            if is_last {
                return;
            }
            continue;
        };
        let mut notices = Vec::new();
        notices.extend(keeper.commit(Instant::now(), unix_ms()));
        if is_last {
            notices.extend(keeper.finish(unix_ms()));
        } else {
            notices.extend(keeper.handle_time(Instant::now(), unix_ms()));
        }
        if !notices.is_empty() {
            write_logs(&mut files, receiver, &mut time, started, notices);
        }
        if is_last {
            return;
        }
    }
}

/// Why the thread goes on.
enum Wake {
    Message(DiskMsg),
    Merged(Option<Merged>),
    Time,
    /// Nobody is left who could send anything.
    Alone,
}

fn wait(receiver: &LogReceiver, keeper: Option<&Keeper<RealFiles>>) -> Wake {
    let idle = never();
    let merged = keeper.map_or(&idle, Keeper::merged);
    let deadline = keeper.and_then(Keeper::poll_timeout);
    let timeout = deadline.map_or(never(), at);
    select! {
        recv(receiver.channel) -> message => message.map_or(Wake::Alone, Wake::Message),
        recv(merged) -> merged => Wake::Merged(merged.ok()),
        recv(timeout) -> _ => Wake::Time,
    }
}

/// Writes the lines at hand, with what there is to say about lines that were lost and about timers.
fn write_logs(
    files: &mut LogFiles,
    receiver: &LogReceiver,
    time: &mut LogTime,
    started: Instant,
    mut notices: Vec<String>,
) {
    let dropped = receiver.poll_dropped();
    if dropped > 0 {
        notices.insert(0, format!("{dropped} log lines dropped"));
    }
    for notice in &notices {
        files.push(LogFile::Server, &time.server_line(unix_ms(), notice));
    }
    let now_ms = started.elapsed().as_millis() as u64;
    let bytes_max = receiver.file_bytes_max();
    let mut notices = files.write(now_ms, bytes_max);
    if receiver.poll_reopen() {
        notices.extend(files.reopen());
    }
    // Ends: at one and the same time a log begins to fail, or recovers, at most once each.
    while !notices.is_empty() {
        for notice in &notices {
            let line = time.server_line(unix_ms(), notice);
            if !files.is_stderr() {
                // The log itself may be what fails.
                let _ = writeln!(io::stderr(), "{line}");
            }
            files.push(LogFile::Server, &line);
        }
        notices = files.write(now_ms, bytes_max);
    }
}

/// Takes messages until none is there or the batch is large; whether `Stop` was among them.
fn collect(
    files: &mut LogFiles,
    receiver: &LogReceiver,
    mut keeper: Option<&mut Keeper<RealFiles>>,
    first: DiskMsg,
) -> bool {
    let mut next = Some(first);
    let (mut batch_bytes, mut records) = (0, 0);
    while let Some(message) = next {
        match message {
            DiskMsg::Log(line) => {
                receiver.handle_taken(line.text.len());
                batch_bytes = files.push(line.file, &line.text).max(batch_bytes);
            }
            DiskMsg::Timer(record) => {
                records += 1;
                if let Some(keeper) = &mut keeper {
                    keeper.handle_record(*record);
                }
            }
            DiskMsg::Tail(query) => {
                receiver.handle_taken(0);
                receiver.answer(files.tail(&query));
            }
            // The flag beside the channel says it; this only woke us.
            DiskMsg::Reopen => return false,
            DiskMsg::Stop => return true,
        }
        if batch_bytes >= LOG_BATCH_BYTES_MAX || records >= TIMER_RECORDS_MAX {
            return false;
        }
        next = receiver.channel.try_recv().ok();
    }
    false
}

/// The wall clock, for lines that are made here.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_are_written_in_order_and_stop_waits_for_them() {
        let dir = TestDir::new("disk-order");
        let own = dir.0.join("own.log");
        let disk = spawn(&dir.0, Some(&own), TimeZone::UTC, None).expect("started");
        for n in 0..500 {
            assert!(disk.sender.try_send(LogFile::Server, format!("{n}")));
        }
        assert!(disk.sender.stop(LONG));
        disk.thread.join().expect("no panic");
        let want: String = (0..500).map(|n| format!("{n}\n")).collect();
        assert_eq!(std::fs::read_to_string(&own).expect("readable"), want);
    }

    #[test]
    fn drops_are_said_in_one_line() {
        let dir = TestDir::new("disk-drop");
        let own = dir.0.join("own.log");
        let (sender, _, receiver) = channel();
        let mut sent = 0;
        while sender.try_send(LogFile::Trace, "x".to_owned()) {
            sent += 1;
        }
        assert!(!sender.try_send(LogFile::Trace, "x".to_owned()));
        let files = LogFiles::open(&dir.0, Some(&own)).expect("opened");
        let thread =
            std::thread::spawn(move || run(files, &receiver, LogTime::new(TimeZone::UTC), None));
        assert!(sender.stop(LONG));
        thread.join().expect("no panic");
        let text = std::fs::read_to_string(&own).expect("readable");
        assert!(
            text.starts_with("=== REQ at [") && text.ends_with("] 2 log lines dropped\n"),
            "{text:?}"
        );
        assert_eq!(
            std::fs::read_to_string(dir.0.join("trace.log"))
                .expect("readable")
                .lines()
                .count(),
            sent
        );
    }

    #[test]
    fn reopen_comes_after_what_was_sent_before() {
        let dir = TestDir::new("disk-reopen");
        let (own, moved) = (dir.0.join("own.log"), dir.0.join("own.log.1"));
        let disk = spawn(&dir.0, Some(&own), TimeZone::UTC, None).expect("started");
        std::fs::rename(&own, &moved).expect("moved");
        assert!(disk.sender.try_send(LogFile::Server, "before".to_owned()));
        disk.sender.reopen();
        while !own.exists() {
            std::thread::yield_now();
        }
        assert!(disk.sender.try_send(LogFile::Server, "after".to_owned()));
        assert!(disk.sender.stop(LONG));
        disk.thread.join().expect("no panic");
        assert_eq!(
            std::fs::read_to_string(&moved).expect("readable"),
            "before\n"
        );
        assert_eq!(std::fs::read_to_string(&own).expect("readable"), "after\n");
    }

    #[test]
    fn an_unwritable_log_does_not_stop_the_others() {
        let dir = TestDir::new("disk-unwritable");
        let own = dir.0.join("own.log");
        std::fs::create_dir(dir.0.join("trace.log")).expect("made");
        let disk = spawn(&dir.0, Some(&own), TimeZone::UTC, None).expect("started");
        disk.sender.try_send(LogFile::Trace, "lost".to_owned());
        disk.sender.try_send(LogFile::Server, "kept".to_owned());
        assert!(disk.sender.stop(LONG));
        disk.thread.join().expect("no panic");
        let text = std::fs::read_to_string(&own).expect("readable");
        assert!(
            text.contains("kept\n")
                && text.contains("] cannot write ")
                && text.contains("trace.log"),
            "{text:?}"
        );
    }
}
