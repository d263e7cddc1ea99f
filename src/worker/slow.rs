//! Lines of `slow.log` for URLs and statements that took long, and of `debug.log` for all statements; the server writes those for calls. Knows no file:
//! whoever makes it takes the lines.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use crate::limits::LOG_TEXT_BYTES_MAX;
use crate::message::{LogFile, LogLine};
use crate::proto::logtext::{LogTime, log_text};
use crate::settings::Settings;

/// `P_DEBUG` from which on statements are told.
const SQL_LEVEL: u32 = 9;

type Write = dyn Fn(LogLine) + Send + Sync;

/// What is slow, and where it is told.
#[derive(Default)]
pub struct Slow {
    /// From which on, ms; 0: never.
    http_ms: AtomicU64,
    sql_ms: AtomicU64,
    /// Every statement goes to `debug.log`.
    is_debug: AtomicBool,
    out: Option<(TimeZone, Box<Write>)>,
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slow").finish_non_exhaustive()
    }
}

impl Slow {
    /// `write` takes the lines and never waits.
    pub fn new(zone: TimeZone, write: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        Slow {
            out: Some((zone, Box::new(write))),
            ..Slow::default()
        }
    }

    /// What counts from now on.
    pub fn set(&self, settings: &Settings) {
        self.http_ms.store(settings.slow_http_ms, Ordering::Relaxed);
        self.sql_ms.store(settings.slow_sql_ms, Ordering::Relaxed);
        let is_debug = settings.test_mode && settings.debug_level >= SQL_LEVEL;
        self.is_debug.store(is_debug, Ordering::Relaxed);
    }

    /// A URL was called.
    pub fn handle_url(&self, url: &str, took_ms: u64) {
        self.handle("URL", url, took_ms, &self.http_ms);
    }

    /// A statement was run.
    pub fn handle_statement(&self, sql: &str, took: Duration) {
        let took_ms = took.as_millis() as u64;
        self.handle("SQL", sql, took_ms, &self.sql_ms);
        if self.is_debug.load(Ordering::Relaxed) {
            self.write(LogFile::Debug, "SQL", sql, took_ms);
        }
    }

    fn handle(&self, kind: &str, what: &str, took_ms: u64, limit_ms: &AtomicU64) {
        let limit_ms = limit_ms.load(Ordering::Relaxed);
        if limit_ms > 0 && took_ms >= limit_ms {
            self.write(LogFile::Slow, &format!("slow {kind}"), what, took_ms);
        }
    }

    fn write(&self, file: LogFile, kind: &str, what: &str, took_ms: u64) {
        let Some((zone, write)) = &self.out else {
            return;
        };
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let what = log_text(what, LOG_TEXT_BYTES_MAX);
        let text = format!("{kind} `{what}`: {took_ms} ms");
        // Slow ones are rare: a formatter each costs less than one that threads share.
        let mut time = LogTime::new(zone.clone());
        let text = time.request_line("nil", unix.as_millis() as u64, &text);
        write(LogLine { file, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn statements_are_told_in_test_mode_at_the_last_level() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let slow = Slow::new(TimeZone::UTC, move |line| {
            told.lock().expect("no panic").push((line.file, line.text));
        });
        for (mode, level) in [("0", "9"), ("1", "8"), ("1", "9")] {
            slow.set(&Settings::of(&[("P_TEST_MODE", mode), ("P_DEBUG", level)]));
            slow.handle_statement("select ?", Duration::from_millis(3));
        }
        let lines = lines.lock().expect("no panic");
        let [(file, text)] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(*file, LogFile::Debug);
        assert!(text.ends_with("] SQL `select ?`: 3 ms"), "{text}");
    }

    #[test]
    fn only_what_is_slow_is_told() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let slow = Slow::new(TimeZone::UTC, move |line| {
            assert_eq!(line.file, LogFile::Slow);
            told.lock().expect("no panic").push(line.text);
        });
        slow.handle_url("http://h/", 9_999);
        slow.set(&Settings::of(&[
            ("slowHttpCallTime", "0.5"),
            ("slowSqlTime", "0"),
        ]));
        slow.handle_url("http://h/a", 499);
        slow.handle_url("http://h/\nb", 500);
        slow.handle_statement("select 1", Duration::from_secs(100));
        let lines = lines.lock().expect("no panic");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("=== REQ from [nil] at ["), "{lines:?}");
        assert!(
            lines[0].ends_with("] slow URL `http://h/\\nb`: 500 ms"),
            "{lines:?}"
        );
    }
}
