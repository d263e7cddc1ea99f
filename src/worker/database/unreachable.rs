//! What is said of a database that cannot be reached: to the log all, to whoever asked nothing about host, user or path.
//! Source: the original, whose calls answer `dbconn fails` but in test mode. Opens nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::DATABASE_UNREACHABLE_TOLD_MS;

const TEXT: &str = "the database cannot be reached: see the server's log";

/// When the log was told last.
#[derive(Default)]
pub(super) struct Unreachable(Mutex<Option<Instant>>);

impl Unreachable {
    /// Tells the log, and gives what to tell whoever asked. `is_shown`: that is the reason itself.
    pub fn handle(&self, reason: Box<str>, is_shown: bool) -> Box<str> {
        if self.is_due(Instant::now()) {
            log::error!("{reason}");
        }
        match is_shown {
            true => reason,
            false => TEXT.into(),
        }
    }

    /// Each call tries anew, and a database may be away for hours.
    fn is_due(&self, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = Duration::from_millis(DATABASE_UNREACHABLE_TOLD_MS);
        let is_due = told.is_none_or(|told| now.saturating_duration_since(told) >= pause);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_for_the_log_and_for_test_mode() {
        let unreachable = Unreachable::default();
        let reason = "cannot connect to h:3306: Access denied for user 'u'@'c'";
        assert_eq!(&*unreachable.handle(reason.into(), false), TEXT);
        assert_eq!(&*unreachable.handle(reason.into(), true), reason);
    }

    #[test]
    fn the_log_is_told_once_in_a_while() {
        let (unreachable, start) = (Unreachable::default(), Instant::now());
        for (after_ms, want) in [
            (0, true),
            (1, false),
            (DATABASE_UNREACHABLE_TOLD_MS - 1, false),
            (DATABASE_UNREACHABLE_TOLD_MS, true),
            (DATABASE_UNREACHABLE_TOLD_MS + 1, false),
        ] {
            let now = start + Duration::from_millis(after_ms);
            assert_eq!(unreachable.is_due(now), want, "{after_ms}");
        }
    }
}
