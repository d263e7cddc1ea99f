//! When timers are due. Intervals, looks and waits follow the monotonic clock, crontab lines the wall clock; a
//! line's next time is kept as wall time, so a step of the clock moves nothing by itself ([`super::clock_steps`]).

use crate::ids::Now;
use crate::limits::{BROKEN_TIMERS_LOGGED_MAX, CLOCK_STEP_MS_MAX, DUE_PER_TURN};
use crate::proto::json;
use crate::state::cron::Cron;
use crate::state::timer_queue::TimerQueue;
use crate::state::timers::book::{History, Kept, Suspended};
use crate::state::timers::fields::{
    self, Fields, Plan, Rhythm, STORED_DUE, STORED_RAN_TO, STORED_RUNS,
};
use crate::state::timers::machine::Timers;

/// A wildcard line that came late by more than this does not make up for it.
const WILDCARD_LATE_S_MAX: i64 = 60;

impl Timers {
    /// Takes over what the disk held.
    pub(super) fn load(&mut self, stored: Vec<(i64, Box<str>)>, failed: Vec<(i64, Box<str>)>) {
        let mut broken = 0;
        for (id, text) in stored {
            let kept = self.loaded(id, &text);
            if let Err(reason) = &kept.plan {
                broken += 1;
                if broken <= BROKEN_TIMERS_LOGGED_MAX {
                    let line = format!("timer#{id} is kept but does not run: {reason}");
                    self.log(&line);
                }
            }
            self.next_id = self.next_id.max(id.saturating_add(1));
            self.next_one_shot_id = self.next_one_shot_id.min(id.saturating_sub(1));
            self.book.insert(Box::new(kept));
            self.begin(id, true);
        }
        if broken > BROKEN_TIMERS_LOGGED_MAX {
            self.log(&format!("{broken} timers in all are kept but do not run"));
        }
        for (id, json) in failed {
            self.next_one_shot_id = self.next_one_shot_id.min(id.saturating_sub(1));
            self.failed.insert(id, json);
        }
    }

    fn loaded(&mut self, id: i64, text: &str) -> Kept {
        let mut fields: Fields = serde_json::from_str(text).unwrap_or_default();
        let (due, counted, ran_to) = (
            fields::stored(&fields, STORED_DUE),
            fields::stored(&fields, STORED_RUNS),
            fields::stored(&fields, STORED_RAN_TO),
        );
        fields::remove_stored(&mut fields);
        let plan = self.checked(&fields).and_then(|plan| {
            if plan.is_once() == (id < 0) {
                Ok(plan)
            } else {
                Err(fields::bad_cron("bad cron format"))
            }
        });
        let plan = plan.map(Box::new).map_err(|error| error.detail.into());
        let mut kept = self.new_kept(id, &fields, plan);
        if let Some(due) = due {
            let longest_ms = kept.due_ms - self.now.mono_ms;
            kept.due_unix_ms = due;
            // A wall clock that was set back meanwhile does not make it wait longer than it ever would have.
            let wait_ms = (due - self.now.unix_ms as i64).clamp(0, longest_ms as i64);
            kept.due_ms = self.now.mono_ms + wait_ms as u64;
        }
        kept.counted = counted.map_or(0, |runs| runs.max(0) as u64);
        kept.ran_to_s = ran_to.unwrap_or(kept.ran_to_s);
        kept
    }

    /// A timer at the end of the list that never ran.
    pub(super) fn new_kept(
        &mut self,
        id: i64,
        fields: &Fields,
        plan: Result<Box<Plan>, Box<str>>,
    ) -> Kept {
        // 0 stands for one-shots that are not kept.
        self.last_version = self.last_version.wrapping_add(1).max(1);
        let wait_ms = match plan.as_ref().map(|plan| &plan.rhythm) {
            Ok(Rhythm::Once(wait_ms)) => *wait_ms,
            _ => 0,
        };
        Kept {
            id,
            place: self.book.new_place(),
            version: self.last_version,
            code: fields::text(fields, "code").map(|code| code.into()),
            json: json::to_text(&fields.clone().into()).into(),
            plan,
            pending: None,
            run_when_stored: false,
            due_ms: self.now.mono_ms + wait_ms,
            due_unix_ms: (self.now.unix_ms + wait_ms) as i64,
            counted: 0,
            ran_to_s: self.now_s(),
            anchor_ms: 0,
            occurrence_s: 0,
            looked: None,
            suspended: None,
            queued: false,
            finished: None,
            history: History::default(),
        }
    }

    /// Lets a timer begin: it is new, has new fields, was enabled, or the daemon starts.
    pub(super) fn begin(&mut self, id: i64, is_start: bool) {
        let (now, now_s) = (self.now, self.now_s());
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        kept.suspended = None;
        if std::mem::take(&mut kept.run_when_stored) {
            self.run_now(id);
            if id < 0 {
                return;
            }
        }
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        let Ok(plan) = &kept.plan else {
            return;
        };
        if plan.disabled || is_over(plan, kept.counted, now_s) {
            return;
        }
        let due_ms = match &plan.rhythm {
            Rhythm::Interval(_) | Rhythm::Look(..) => {
                kept.anchor_ms = now.mono_ms + plan.splay_ms;
                kept.anchor_ms
            }
            Rhythm::Once(_) => kept.due_ms.max(now.mono_ms) + plan.splay_ms,
            Rhythm::Line(_) => {
                let missed = is_start && plan.misfire_once;
                let after_s = if missed { kept.ran_to_s } else { now_s };
                return self.schedule_line(id, after_s.min(now_s), missed);
            }
        };
        // The queue takes more than the book holds.
        let _ = self.mono_queue(id).add(id, due_ms);
    }

    /// Where a timer's due time by the monotonic clock is.
    pub(super) fn mono_queue(&mut self, id: i64) -> &mut TimerQueue {
        if id > 0 {
            &mut self.ticks
        } else {
            &mut self.queue
        }
    }

    /// Puts a timer back on the schedule it was taken off by a change that was undone.
    pub(super) fn resume(&mut self, id: i64) {
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        let (version, is_once) = (kept.version, id < 0);
        match kept.suspended.take() {
            Some(Suspended::Mono(due_ms)) => {
                let _ = self.mono_queue(id).add(id, due_ms);
            }
            Some(Suspended::Wall(due_ms)) => {
                let _ = self.wall.add(id, due_ms);
            }
            // Its run may have ended unnoticed meanwhile; it is to run at least once.
            None if is_once && !self.is_running(id, version) => self.begin(id, false),
            None => {}
        }
    }

    /// Takes a timer off its schedule.
    pub(super) fn unschedule(&mut self, id: i64) {
        let queue = self.mono_queue(id);
        let mono = queue.due_ms(id).map(Suspended::Mono);
        queue.cancel(id);
        let wall = self.wall.due_ms(id).map(Suspended::Wall);
        self.wall.cancel(id);
        if let Some(kept) = self.book.get_mut(id) {
            kept.suspended = mono.or(wall);
        }
    }

    /// Lets what is due by either clock fire, up to a turn's share.
    pub(super) fn handle_due(&mut self) {
        for _ in 0..DUE_PER_TURN {
            let Some(due) = self.queue.pop_due(self.now.mono_ms) else {
                break;
            };
            if due.id < 0 && self.texts.get(due.id).is_some() {
                self.fire_one_shot(due.id, due.due_ms, None);
            } else {
                self.handle_due_kept(due.id, due.due_ms);
            }
        }
        for _ in 0..DUE_PER_TURN {
            let Some(due) = self.ticks.pop_due(self.now.mono_ms) else {
                break;
            };
            self.handle_due_kept(due.id, due.due_ms);
        }
        for _ in 0..DUE_PER_TURN {
            // Their times are those of the old clock.
            if self.retiming.is_some() {
                break;
            }
            let Some(due) = self.wall.pop_due(self.now.unix_ms) else {
                break;
            };
            self.handle_due_line(due.id, due.due_ms);
        }
    }

    fn handle_due_kept(&mut self, id: i64, due_ms: u64) {
        let (now, now_s) = (self.now, self.now_s());
        let has_old_look = self.is_to_be_retimed(id);
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        if has_old_look {
            kept.looked = None;
        }
        if let Some(finished) = kept.finished.clone() {
            return self.finish(id, finished);
        }
        let Ok(plan) = &kept.plan else {
            return;
        };
        if is_over(plan, kept.counted, now_s) {
            return;
        }
        let (anchor_ms, looked) = (kept.anchor_ms, kept.looked);
        let (wait_ms, is_due) = match &plan.rhythm {
            Rhythm::Once(_) => (None, true),
            Rhythm::Interval(wait_ms) => (Some(*wait_ms), true),
            Rhythm::Look(cron, wait_ms) => {
                let zone = plan.tz.as_ref().unwrap_or(&self.zone);
                let minute_s = now_s - now_s.rem_euclid(60);
                let is_due = !was_looked(looked, minute_s, now) && cron.matches_minute(now_s, zone);
                if is_due && looked.is_none_or(|(seen_s, _)| seen_s != minute_s) {
                    kept.looked = Some((minute_s, now.mono_ms));
                }
                (Some(*wait_ms), is_due)
            }
            Rhythm::Line(_) => return,
        };
        if let Some(wait_ms) = wait_ms {
            // From the first run on, so that lateness does not add up.
            let passed = now.mono_ms.saturating_sub(anchor_ms) / wait_ms;
            let _ = self.ticks.add(id, anchor_ms + (passed + 1) * wait_ms);
        }
        if is_due {
            self.fire(id, now.mono_ms - due_ms);
        }
    }

    fn handle_due_line(&mut self, id: i64, due_unix_ms: u64) {
        let now_s = self.now_s();
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        let Ok(plan) = &kept.plan else {
            return;
        };
        let Rhythm::Line(cron) = &plan.rhythm else {
            return;
        };
        if is_over(plan, kept.counted, now_s) {
            return;
        }
        if let Some(skipped) = self.skipped
            && cron.is_wildcard()
            && skipped.holds(kept.occurrence_s, due_unix_ms)
        {
            return self.schedule_line(id, skipped.minute_s - 1, false);
        }
        let late_s_max = if cron.is_wildcard() {
            WILDCARD_LATE_S_MAX
        } else {
            (CLOCK_STEP_MS_MAX / 1_000) as i64
        };
        let misfire_once = plan.misfire_once;
        let after_s = kept.occurrence_s.max(now_s - late_s_max);
        kept.ran_to_s = kept.occurrence_s;
        self.schedule_line(id, after_s, false);
        self.fire(id, self.now.unix_ms - due_unix_ms);
        if misfire_once {
            self.store_progress(id);
        }
    }

    /// Sets a crontab line's next time: the first after `after_s`; `at_once` if that has passed.
    pub(super) fn schedule_line(&mut self, id: i64, after_s: i64, at_once: bool) {
        let (now_s, now_ms) = (self.now_s(), self.now.unix_ms);
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        let Ok(plan) = &kept.plan else {
            return;
        };
        let Rhythm::Line(cron) = &plan.rhythm else {
            return;
        };
        let zone = plan.tz.as_ref().unwrap_or(&self.zone);
        let Some(next_s) = cron.next(after_s, zone) else {
            return;
        };
        if at_once && next_s <= now_s {
            // However many were missed, it is once.
            kept.occurrence_s = now_s;
            let _ = self.wall.add(id, now_ms);
            return;
        }
        kept.occurrence_s = next_s;
        if plan.until_s.is_none_or(|until_s| next_s <= until_s) {
            let _ = self.wall.add(id, next_s as u64 * 1_000 + plan.splay_ms);
        }
    }

    /// When a kept timer runs next, Unix s.
    pub(super) fn next_run_s(&self, kept: &Kept) -> Option<i64> {
        if let Some(due_ms) = self.wall.due_ms(kept.id) {
            return Some((due_ms / 1_000) as i64);
        }
        let queue = if kept.id > 0 {
            &self.ticks
        } else {
            &self.queue
        };
        let due_ms = queue.due_ms(kept.id).filter(|_| kept.finished.is_none())?;
        let wait_ms = due_ms.saturating_sub(self.now.mono_ms);
        let due_unix_ms = self.now.unix_ms.saturating_add(wait_ms);
        match &kept.plan.as_ref().ok()?.rhythm {
            Rhythm::Look(cron, _) => {
                let zone = kept.plan.as_ref().ok()?.tz.as_ref().unwrap_or(&self.zone);
                next_look_s(cron, (due_unix_ms / 1_000) as i64, zone)
            }
            _ => Some((due_unix_ms / 1_000) as i64),
        }
    }
}

/// The present look, if its minute matches, else the first minute that does: about when it runs.
fn next_look_s(cron: &Cron, look_s: i64, zone: &jiff::tz::TimeZone) -> Option<i64> {
    if cron.matches_minute(look_s, zone) {
        Some(look_s)
    } else {
        cron.next(look_s, zone)
    }
}

/// Whether a minute had its turn before the clock was set back: an earlier minute, or the same one long after it matched.
fn was_looked(looked: Option<(i64, u64)>, minute_s: i64, now: Now) -> bool {
    looked.is_some_and(|(seen_s, seen_ms)| {
        minute_s < seen_s || minute_s == seen_s && now.mono_ms - seen_ms > 60_000
    })
}

/// Whether a timer has had all its runs, or its time.
pub(super) fn is_over(plan: &Plan, counted: u64, now_s: i64) -> bool {
    plan.max_runs.is_some_and(|max| counted >= max)
        || plan.until_s.is_some_and(|until_s| now_s > until_s)
}
