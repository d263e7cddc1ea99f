//! One log: when its file is opened, rotated and opened anew, and what happens when the disk does not take it.
//! Never waits and never fails: what cannot be written is counted and said later.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::limits::{LOG_BATCH_BYTES_MAX, LOG_RETRY_MS};

/// Something the operator should read in the server's own log.
pub(super) type Notice = String;

/// One log: its target and what waits for it.
#[derive(Debug)]
pub(super) struct Log {
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
    /// The last rotation failed, and that was said.
    stuck: bool,
}

/// Where the bytes of one log go.
#[derive(Debug)]
enum Target {
    /// Standard error: always there, never rotated and never reopened.
    Stderr,
    /// A file, opened at first use.
    Path {
        path: PathBuf,
        opened: Option<Opened>,
    },
}

/// An open file.
#[derive(Debug)]
struct Opened {
    file: File,
    /// How long it is; `None` for what has no length, a pipe or a device.
    bytes: Option<u64>,
}

impl Log {
    /// A log that is opened at first use, or standard error.
    pub fn new(name: &'static str, path: Option<PathBuf>) -> Self {
        let target = match path {
            None => Target::Stderr,
            Some(path) => Target::Path { path, opened: None },
        };
        Log {
            name,
            target,
            batch: Vec::new(),
            lines: 0,
            retry_at_ms: 0,
            lost: 0,
            torn: false,
            stuck: false,
        }
    }

    /// Opens its file now. Errors: it cannot be opened.
    pub fn open(&mut self) -> io::Result<()> {
        if let Target::Path { path, opened } = &mut self.target {
            *opened = Some(open(path)?);
        }
        Ok(())
    }

    /// Whether it is standard error.
    pub fn is_stderr(&self) -> bool {
        matches!(self.target, Target::Stderr)
    }

    /// Adds a line to the batch; the bytes that it holds now.
    pub fn push(&mut self, text: &str) -> usize {
        self.batch.extend_from_slice(text.as_bytes());
        self.batch.push(b'\n');
        self.lines += 1;
        self.batch.len()
    }

    /// Writes the batch in one write, into a file of at most `bytes_max` bytes (0: of any size): one that would grow
    /// beyond moves to its name with `.1` behind it and takes the place of the one there.
    /// Notices: a failure at its beginning and at its end.
    pub fn write(&mut self, now_ms: u64, bytes_max: u64, notices: &mut Vec<Notice>) {
        if self.lines == 0 {
            return;
        }
        let is_due = now_ms >= self.retry_at_ms;
        if is_due {
            notices.extend(self.rotate(bytes_max));
        }
        let outcome = if is_due {
            self.try_write().map_err(Some)
        } else {
            Err(None)
        };
        let lines = std::mem::take(&mut self.lines);
        self.batch.clear();
        self.batch.shrink_to(LOG_BATCH_BYTES_MAX);
        match outcome {
            Ok(()) if self.lost == 0 => {}
            Ok(()) => {
                let lost = std::mem::take(&mut self.lost);
                notices.push(format!(
                    "{} is written again, {lost} lines are lost",
                    self.name
                ));
            }
            Err(error) => {
                let is_first = self.lost == 0;
                self.lost += lines;
                if let Some(error) = error {
                    self.retry_at_ms = now_ms + LOG_RETRY_MS;
                    notices.extend(is_first.then(|| self.failure(&error)));
                }
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

    /// Moves the file away if the batch would make it too long.
    fn rotate(&mut self, bytes_max: u64) -> Option<Notice> {
        let Target::Path { path, opened } = &mut self.target else {
            return None;
        };
        if bytes_max == 0 {
            return None;
        }
        let open_now = match opened {
            Some(opened) => opened,
            // A failure is told by the write that follows.
            None => opened.insert(open(path).ok()?),
        };
        let is_full = open_now
            .bytes
            .is_some_and(|bytes| bytes > 0 && bytes + self.batch.len() as u64 > bytes_max);
        if !is_full {
            return None;
        }
        let mut moved = OsString::from(&*path);
        moved.push(".1");
        match fs::rename(&*path, moved) {
            Ok(()) => {
                (*opened, self.torn, self.stuck) = (None, false, false);
                None
            }
            Err(error) => {
                let is_first = !std::mem::replace(&mut self.stuck, true);
                is_first.then(|| {
                    format!(
                        "cannot rotate {}: {error}; it grows beyond maxLogFileSize",
                        path.display()
                    )
                })
            }
        }
    }

    /// Writes the batch; what is left after an error is given up.
    fn try_write(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Stderr => io::stderr().lock().write_all(&self.batch),
            Target::Path { path, opened } => {
                let opened = match opened {
                    Some(opened) => opened,
                    None => opened.insert(open(path)?),
                };
                if self.torn {
                    // A line that was cut off must not swallow the next one.
                    self.batch.insert(0, b'\n');
                }
                let (written, outcome) = append(&mut opened.file, &self.batch);
                if written > 0 {
                    self.torn = self.batch[written - 1] != b'\n';
                }
                opened.bytes = opened.bytes.map(|bytes| bytes + written as u64);
                outcome
            }
        }
    }

    /// Opens the file anew, for it was moved away, and lets a failed one be tried at once.
    pub fn reopen(&mut self) -> Option<Notice> {
        self.retry_at_ms = 0;
        let Target::Path {
            path,
            opened: opened @ Some(_),
        } = &mut self.target
        else {
            return None;
        };
        match open(path) {
            Ok(fresh) => {
                (*opened, self.torn) = (Some(fresh), false);
                None
            }
            Err(error) => Some(format!(
                "cannot open {} anew: {error}; the old one stays in use",
                path.display()
            )),
        }
    }

    /// As if the last write had ended within a line.
    #[cfg(test)]
    pub fn tear(&mut self) {
        self.torn = true;
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
fn open(path: &Path) -> io::Result<Opened> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(Opened { file, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Writes each batch of lines, files of 10 bytes at most, and looks at both files then.
    #[track_caller]
    fn check(name: &str, before: &str, batches: &[&[&str]], want: (&str, &str)) {
        let dir = TestDir::new(name);
        let (path, moved) = (dir.0.join("a.log"), dir.0.join("a.log.1"));
        fs::write(&path, before).expect("written");
        let mut log = Log::new("a.log", Some(path.clone()));
        let mut notices = Vec::new();
        for lines in batches {
            for line in *lines {
                log.push(line);
            }
            log.write(0, 10, &mut notices);
        }
        assert_eq!((read(&path).as_str(), read(&moved).as_str()), want);
        assert!(notices.is_empty(), "{notices:?}");
    }

    #[test]
    fn a_file_rotates_before_it_is_too_long() {
        check("rotate-fits", "1234\n", &[&["abcd"]], ("1234\nabcd\n", ""));
        check(
            "rotate-next",
            "1234\n",
            &[&["abcd"], &["e"]],
            ("e\n", "1234\nabcd\n"),
        );
        // The one before the last is gone.
        check(
            "rotate-twice",
            "",
            &[&["123456"], &["abcdef"], &["ghijkl"]],
            ("ghijkl\n", "abcdef\n"),
        );
        // One that was there at the start.
        check(
            "rotate-start",
            "0123456789\n",
            &[&["a"]],
            ("a\n", "0123456789\n"),
        );
        // A batch is never torn, nor an empty file moved.
        check(
            "rotate-long",
            "",
            &[&["0123456789", "abc"]],
            ("0123456789\nabc\n", ""),
        );
    }

    #[test]
    fn without_a_bound_nothing_rotates() {
        let dir = TestDir::new("rotate-never");
        let mut log = Log::new("a.log", Some(dir.0.join("a.log")));
        for _ in 0..100 {
            log.push("0123456789");
            log.write(0, 0, &mut Vec::new());
        }
        assert_eq!(read(&dir.0.join("a.log")).len(), 1_100);
    }

    #[test]
    fn what_cannot_rotate_goes_on_and_says_so_once() {
        let dir = TestDir::new("rotate-stuck");
        let (path, moved) = (dir.0.join("a.log"), dir.0.join("a.log.1"));
        fs::create_dir_all(moved.join("in the way")).expect("made");
        let mut log = Log::new("a.log", Some(path.clone()));
        let mut notices = Vec::new();
        for _ in 0..3 {
            log.push("01234567");
            log.write(0, 10, &mut notices);
        }
        assert!(
            notices.len() == 1 && notices[0].starts_with("cannot rotate "),
            "{notices:?}"
        );
        assert_eq!(read(&path), "01234567\n".repeat(3));
        fs::remove_dir_all(&moved).expect("removed");
        log.push("x");
        log.write(0, 10, &mut notices);
        assert_eq!((read(&path).as_str(), read(&moved).len()), ("x\n", 27));
    }

    #[test]
    fn devices_do_not_rotate() {
        let dir = TestDir::new("rotate-device");
        let path = dir.0.join("a.log");
        std::os::unix::fs::symlink("/dev/null", &path).expect("linked");
        let mut log = Log::new("a.log", Some(path.clone()));
        let mut notices = Vec::new();
        for _ in 0..3 {
            log.push("0123456789");
            log.write(0, 10, &mut notices);
        }
        assert!(notices.is_empty() && path.is_symlink() && !dir.0.join("a.log.1").exists());
    }
}
