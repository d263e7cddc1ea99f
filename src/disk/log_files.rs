//! The log files: what goes into which, without its secrets. What becomes of each file is [`super::log_file`]'s business.

use std::io;
use std::path::Path;

use crate::disk::log_file::{Log, Notice};
use crate::disk::tail::Tail;
use crate::message::{LogFile, LogLines, LogQuery};
use crate::proto::mask::mask_secrets;

/// All log files.
#[derive(Debug)]
pub(super) struct LogFiles {
    logs: [Log; LogFile::ALL.len()],
    tail: Tail,
}

impl LogFiles {
    /// The server's own log at `log_file`, opened now, or on standard error; the others in `data_dir`.
    /// Errors: `log_file` cannot be opened.
    pub(super) fn open(data_dir: &Path, log_file: Option<&Path>) -> io::Result<Self> {
        let mut server = Log::new("the log", log_file.map(Path::to_owned));
        server.open()?;
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
        self.log(file).push(text)
    }

    /// The last lines, of those whose batch is not yet written too.
    pub(super) fn tail(&self, query: &LogQuery) -> LogLines {
        self.tail.answer(query)
    }

    /// Writes the batch, one write per file, each of which has at most `bytes_max` bytes (0: any number).
    /// Notices: a failure at its beginning and at its end.
    pub(super) fn write(&mut self, now_ms: u64, bytes_max: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        for log in &mut self.logs {
            log.write(now_ms, bytes_max, &mut notices);
        }
        notices
    }

    /// Whether the server's own log goes to standard error.
    pub(super) fn is_stderr(&self) -> bool {
        self.logs[LogFile::Server as usize].is_stderr()
    }

    /// Opens anew what is open, and lets failed ones be tried at once.
    pub(super) fn reopen(&mut self) -> Vec<Notice> {
        self.logs.iter_mut().filter_map(Log::reopen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_RETRY_MS;
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
        assert!(files.write(0, 0).is_empty());
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
        files.write(0, 0);
        std::fs::rename(&own, &moved).expect("moved");
        files.push(LogFile::Server, "b");
        files.write(0, 0);
        assert!(files.reopen().is_empty());
        files.push(LogFile::Server, "c");
        files.write(0, 0);
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
        assert!(files.write(0, 0).is_empty());
        assert_eq!(read(&moved), "a\n");
    }

    #[test]
    fn a_failure_is_said_once_counted_and_retried() {
        let dir = TestDir::new("retry");
        let trace = dir.0.join("trace.log");
        std::fs::create_dir(&trace).expect("made");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Trace, "lost 1");
        assert_eq!(files.write(0, 0).len(), 1);
        std::fs::remove_dir(&trace).expect("removed");
        files.push(LogFile::Trace, "lost 2");
        assert!(files.write(LOG_RETRY_MS - 1, 0).is_empty(), "too early");
        files.push(LogFile::Trace, "kept");
        assert_eq!(
            files.write(LOG_RETRY_MS, 0),
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
        files.write(0, 0);
        std::fs::remove_dir(&trace).expect("removed");
        files.reopen();
        files.push(LogFile::Trace, "kept");
        assert_eq!(files.write(1, 0).len(), 1);
        assert_eq!(read(&trace), "kept\n");
    }

    #[test]
    fn a_full_disk_is_a_failure_like_any_other() {
        let dir = TestDir::new("full");
        std::os::unix::fs::symlink("/dev/full", dir.0.join("trace.log")).expect("linked");
        let mut files = LogFiles::open(&dir.0, Some(&dir.0.join("own.log"))).expect("opened");
        files.push(LogFile::Trace, "x");
        let notices = files.write(0, 0);
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
        files.write(0, 0);
        files.log(LogFile::Server).tear();
        files.push(LogFile::Server, "next");
        files.write(0, 0);
        files.push(LogFile::Server, "more");
        files.write(0, 0);
        assert_eq!(read(&dir.0.join("own.log")), "half\n\nnext\nmore\n");
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_ends_the_start() {
        let dir = TestDir::new("start");
        assert!(LogFiles::open(&dir.0, Some(&dir.0)).is_err());
        assert!(LogFiles::open(&dir.0, Some(&dir.0.join("no/such.log"))).is_err());
    }
}
