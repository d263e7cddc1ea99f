//! The log files: what goes into which, when it is opened, what happens when the disk does not
//! take it. Never waits and never fails: what cannot be written is counted and said later.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::disk::tail::Tail;
use crate::limits::{LOG_BATCH_BYTES_MAX, LOG_RETRY_MS};
use crate::message::{LogFile, LogLines, LogQuery};
use crate::proto::mask::mask_secrets;

/// Where the bytes of one log go.
#[derive(Debug)]
enum Target {
    /// Standard error: always there, never reopened.
    Stderr,
    /// A file, opened at first use.
    Path { path: PathBuf, file: Option<File> },
}

/// One log: its target and what waits for it.
#[derive(Debug)]
struct Log {
    name: &'static str,
    target: Target,
    /// Whole lines of this batch.
    batch: Vec<u8>,
    lines: u64,
    /// Not to be tried before, after a failure.
    retry_at_ms: u64,
    /// Lines that the present failure has cost; 0 when all is well.
    lost: u64,
    /// The last write ended within a line.
    torn: bool,
}

/// All log files.
#[derive(Debug)]
pub(super) struct LogFiles {
    logs: [Log; LogFile::ALL.len()],
    tail: Tail,
}

/// Something the operator should read in the server's own log.
pub(super) type Notice = String;

impl Log {
    fn new(name: &'static str, path: Option<PathBuf>) -> Self {
        let target = match path {
            None => Target::Stderr,
            Some(path) => Target::Path { path, file: None },
        };
        Log {
            name,
            target,
            batch: Vec::new(),
            lines: 0,
            retry_at_ms: 0,
            lost: 0,
            torn: false,
        }
    }

    fn write(&mut self, now_ms: u64) -> Option<Notice> {
        if self.lines == 0 {
            return None;
        }
        let outcome = if now_ms < self.retry_at_ms {
            Err(None)
        } else {
            self.try_write().map_err(Some)
        };
        let lines = std::mem::take(&mut self.lines);
        self.batch.clear();
        self.batch.shrink_to(LOG_BATCH_BYTES_MAX);
        match outcome {
            Ok(()) if self.lost == 0 => None,
            Ok(()) => {
                let lost = std::mem::take(&mut self.lost);
                Some(format!(
                    "{} is written again, {lost} lines are lost",
                    self.name
                ))
            }
            Err(error) => {
                let is_first = self.lost == 0;
                self.lost += lines;
                let error = error?;
                self.retry_at_ms = now_ms + LOG_RETRY_MS;
                is_first.then(|| self.failure(&error))
            }
        }
    }

    fn failure(&self, error: &io::Error) -> Notice {
        match &self.target {
            Target::Stderr => format!("cannot write standard error: {error}"),
            Target::Path { path, .. } => format!(
                "cannot write {}: {error}; its lines are lost until this is mended",
                path.display()
            ),
        }
    }

    /// Writes the batch; what is left after an error is given up.
    fn try_write(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Stderr => io::stderr().lock().write_all(&self.batch),
            Target::Path { path, file } => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(open(path)?),
                };
                if self.torn {
                    // A line that was cut off must not swallow the next one.
                    self.batch.insert(0, b'\n');
                }
                let written = append(file, &self.batch);
                if written.0 > 0 {
                    self.torn = self.batch[written.0 - 1] != b'\n';
                }
                written.1
            }
        }
    }

    fn reopen(&mut self) -> Option<Notice> {
        self.retry_at_ms = 0;
        let Target::Path {
            path,
            file: Some(file),
        } = &mut self.target
        else {
            return None;
        };
        match open(path) {
            Ok(fresh) => {
                *file = fresh;
                self.torn = false;
                None
            }
            Err(error) => Some(format!(
                "cannot open {} anew: {error}; the old one stays in use",
                path.display()
            )),
        }
    }
}

/// How much was appended, and whether that was all.
fn append(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut at = 0;
    while at < bytes.len() {
        match file.write(&bytes[at..]) {
            Ok(0) => return (at, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => at += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (at, Err(error)),
        }
    }
    (at, Ok(()))
}

/// Opens a log to append to it. Without waiting, should it be a pipe that nobody reads.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

impl LogFiles {
    /// The server's own log at `log_file`, opened now, or on standard error; the others in `data_dir`.
    /// Errors: `log_file` cannot be opened.
    pub(super) fn open(data_dir: &Path, log_file: Option<&Path>) -> io::Result<Self> {
        let mut server = Log::new("the log", log_file.map(Path::to_owned));
        if let Target::Path { path, file } = &mut server.target {
            *file = Some(open(path)?);
        }
        let beside = |name: &'static str| Log::new(name, Some(data_dir.join(name)));
        Ok(LogFiles {
            logs: [
                server,
                beside("trace.log"),
                beside("slow.log"),
                beside("debug.log"),
            ],
            tail: Tail::default(),
        })
    }

    fn log(&mut self, file: LogFile) -> &mut Log {
        let [server, trace, slow, debug] = &mut self.logs;
        match file {
            LogFile::Server => server,
            LogFile::Trace => trace,
            LogFile::Slow => slow,
            LogFile::Debug => debug,
        }
    }

    /// Adds a line to the batch, its secrets masked; the bytes that the batch of its log holds now.
    pub(super) fn push(&mut self, file: LogFile, text: &str) -> usize {
        let text = &mask_secrets(text);
        self.tail.push(file, text);
        let log = self.log(file);
        log.batch.extend_from_slice(text.as_bytes());
        log.batch.push(b'\n');
        log.lines += 1;
        log.batch.len()
    }

    /// The last lines, of those whose batch is not yet written too.
    pub(super) fn tail(&self, query: &LogQuery) -> LogLines {
        self.tail.answer(query)
    }

    /// Writes the batch, one write per file. Notices: a failure at its beginning and at its end.
    pub(super) fn write(&mut self, now_ms: u64) -> Vec<Notice> {
        self.logs
            .iter_mut()
            .filter_map(|log| log.write(now_ms))
            .collect()
    }

    /// Opens anew what is open, and lets failed ones be tried at once.
    pub(super) fn reopen(&mut self) -> Vec<Notice> {
        self.logs.iter_mut().filter_map(Log::reopen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn files_are_opened_at_first_use_and_appended() {
        let dir = TestDir::new("append");
        std::fs::write(dir.0.join("trace.log"), "old\n").expect("written");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Server, "s");
        files.push(LogFile::Trace, "t1");
        files.push(LogFile::Trace, "t2");
        assert!(files.write(0).is_empty());
        assert_eq!(read(&dir.0.join("own.log")), "s\n");
        assert_eq!(read(&dir.0.join("trace.log")), "old\nt1\nt2\n");
        assert!(!dir.0.join("slow.log").exists());
    }

    #[test]
    fn reopening_leaves_the_moved_file() {
        let dir = TestDir::new("reopen");
        let (own, moved) = (dir.0.join("own.log"), dir.0.join("own.log.1"));
        let mut files = LogFiles::open(&dir.0, Some(&own)).expect("opened");
        files.push(LogFile::Server, "a");
        files.write(0);
        std::fs::rename(&own, &moved).expect("moved");
        files.push(LogFile::Server, "b");
        files.write(0);
        assert!(files.reopen().is_empty());
        files.push(LogFile::Server, "c");
        files.write(0);
        assert_eq!(
            (read(&moved).as_str(), read(&own).as_str()),
            ("a\nb\n", "c\n")
        );
    }

    #[test]
    fn a_failed_reopen_keeps_the_old_file() {
        let dir = TestDir::new("keep");
        let (own, moved) = (dir.0.join("own.log"), dir.0.join("own.log.1"));
        let mut files = LogFiles::open(&dir.0, Some(&own)).expect("opened");
        std::fs::rename(&own, &moved).expect("moved");
        std::fs::create_dir(&own).expect("made");
        assert_eq!(files.reopen().len(), 1);
        files.push(LogFile::Server, "a");
        assert!(files.write(0).is_empty());
        assert_eq!(read(&moved), "a\n");
    }

    #[test]
    fn a_failure_is_said_once_counted_and_retried() {
        let dir = TestDir::new("retry");
        let trace = dir.0.join("trace.log");
        std::fs::create_dir(&trace).expect("made");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Trace, "lost 1");
        assert_eq!(files.write(0).len(), 1);
        std::fs::remove_dir(&trace).expect("removed");
        files.push(LogFile::Trace, "lost 2");
        assert!(files.write(LOG_RETRY_MS - 1).is_empty(), "too early");
        files.push(LogFile::Trace, "kept");
        assert_eq!(
            files.write(LOG_RETRY_MS),
            ["trace.log is written again, 2 lines are lost"]
        );
        assert_eq!(read(&trace), "kept\n");
    }

    #[test]
    fn reopening_retries_at_once() {
        let dir = TestDir::new("retry-now");
        let trace = dir.0.join("trace.log");
        std::fs::create_dir(&trace).expect("made");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Trace, "lost");
        files.write(0);
        std::fs::remove_dir(&trace).expect("removed");
        files.reopen();
        files.push(LogFile::Trace, "kept");
        assert_eq!(files.write(1).len(), 1);
        assert_eq!(read(&trace), "kept\n");
    }

    #[test]
    fn a_full_disk_is_a_failure_like_any_other() {
        let dir = TestDir::new("full");
        std::os::unix::fs::symlink("/dev/full", dir.0.join("trace.log")).expect("linked");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Trace, "x");
        let notices = files.write(0);
        assert!(
            notices.len() == 1 && notices[0].contains("trace.log"),
            "{notices:?}"
        );
    }

    #[test]
    fn a_line_that_was_cut_off_is_ended() {
        let dir = TestDir::new("torn");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Server, "half");
        files.write(0);
        files.log(LogFile::Server).torn = true;
        files.push(LogFile::Server, "next");
        files.write(0);
        files.push(LogFile::Server, "more");
        files.write(0);
        assert_eq!(read(&dir.0.join("own.log")), "half\n\nnext\nmore\n");
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_ends_the_start() {
        let dir = TestDir::new("start");
        assert!(LogFiles::open(&dir.0, Some(&dir.0)).is_err());
        assert!(LogFiles::open(&dir.0, Some(&dir.0.join("no/such.log"))).is_err());
    }
}
