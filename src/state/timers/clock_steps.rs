//! Steps of the wall clock: noticed between two turns, by what the monotonic clock says. What a step asks for is done
//! a turn's share at a time, for it may concern every crontab line there is.
//!
//! | step | fixed lines | wildcard lines |
//! |---|---|---|
//! | forward, up to 3 h | what was skipped runs now | go on from the present minute |
//! | back, up to 3 h | wait until the time they had reached comes again | likewise |
//! | more | go on from the new time | likewise |

use crate::ids::Now;
use crate::limits::{CLOCK_STEP_MS_MAX, CLOCK_STEP_MS_MIN, DUE_PER_TURN};
use crate::state::timers::machine::Timers;

/// A new time that lines are still being set to.
#[derive(Clone, Copy, Debug)]
pub struct Retiming {
    /// When it began, Unix s.
    from_s: i64,
    /// The last timer that was set.
    id: i64,
    /// Timers with a later version know no other time.
    version: u32,
}

/// What a step forward left out.
#[derive(Clone, Copy, Debug)]
pub struct Skipped {
    /// Wildcard lines go on from here, Unix s.
    pub(super) minute_s: i64,
    /// What was due by then, Unix ms, was so by the step.
    until_ms: u64,
}

impl Timers {
    /// Notices a step of the wall clock between two turns.
    pub(super) fn check_clock(&mut self, before: Now) {
        let passed_ms = self.now.mono_ms.saturating_sub(before.mono_ms);
        let expected_ms = before.unix_ms + passed_ms;
        let step_ms = self.now.unix_ms.abs_diff(expected_ms);
        if step_ms < CLOCK_STEP_MS_MIN {
            return;
        }
        let is_forward = self.now.unix_ms > expected_ms;
        let direction = if is_forward { "forward" } else { "back" };
        self.log(&format!(
            "the clock was set {direction} by {} s",
            step_ms / 1_000
        ));
        let now_s = self.now_s();
        let is_small = step_ms <= CLOCK_STEP_MS_MAX;
        self.skipped = (is_forward && is_small).then_some(Skipped {
            minute_s: now_s - now_s.rem_euclid(60),
            until_ms: self.now.unix_ms,
        });
        if !is_small {
            self.new_times = self.new_times.wrapping_add(1);
            self.take_new_time();
        }
    }

    /// All lines go on from the present.
    pub(super) fn take_new_time(&mut self) {
        self.retiming = Some(Retiming {
            from_s: self.now_s(),
            id: 0,
            version: self.last_version,
        });
    }

    /// Sets lines to the new time, a turn's share.
    pub(super) fn continue_retiming(&mut self) {
        for _ in 0..DUE_PER_TURN {
            let Some(retiming) = &mut self.retiming else {
                return;
            };
            let Some(kept) = self.book.periodic_behind(retiming.id) else {
                self.retiming = None;
                return;
            };
            let (id, is_newer) = (kept.id, is_later(kept.version, retiming.version));
            retiming.id = id;
            let from_s = retiming.from_s;
            if is_newer {
                continue;
            }
            if let Some(kept) = self.book.get_mut(id) {
                kept.looked = None;
                // What waits for the disk begins then.
                if self.wall.cancel(id) {
                    kept.ran_to_s = from_s;
                    self.schedule_line(id, from_s, false);
                }
            }
        }
    }

    /// Whether what is known of a timer's last minute is of the old time.
    pub(super) fn is_to_be_retimed(&self, id: i64) -> bool {
        self.retiming.is_some_and(|retiming| id > retiming.id)
    }
}

impl Skipped {
    /// Whether an occurrence, Unix s, that is due then is so by the step alone.
    pub(super) fn holds(&self, occurrence_s: i64, due_unix_ms: u64) -> bool {
        occurrence_s < self.minute_s && due_unix_ms <= self.until_ms
    }
}

/// Whether one version was given out behind another; they start over some time.
fn is_later(version: u32, than: u32) -> bool {
    version.wrapping_sub(than).wrapping_sub(1) < u32::MAX / 2
}
