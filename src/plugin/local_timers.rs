//! `setTimeoutLocal` and `setIntervalLocal`: functions of plugins that run later, in memory only. What has to survive
//! a restart is a timer of the daemon (`setTimeout`).

use std::collections::BTreeMap;
use std::rc::Rc;

use mlua::{Function, MultiValue};

use crate::limits::{PLUGIN_INTERVAL_MS_MIN, PLUGIN_TIMERS_MAX};
use crate::plugin::program::Program;
use crate::plugin::purpose::Purpose;
use crate::plugin::scheduler::Scheduler;

/// Timers of plugins, by when they are due.
#[derive(Default)]
pub(super) struct LocalTimers {
    due: BTreeMap<(u64, u64), LocalTimer>,
    /// When a timer is due, by its number.
    times: BTreeMap<u64, u64>,
    serials: u64,
}

struct LocalTimer {
    program: Rc<Program>,
    function: Function,
    every_ms: Option<u64>,
}

impl LocalTimers {
    /// When the next is due, monotonic ms.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.due.first_key_value().map(|((due_ms, _), _)| *due_ms)
    }

    fn insert(&mut self, due_ms: u64, id: u64, timer: LocalTimer) {
        self.due.insert((due_ms, id), timer);
        self.times.insert(id, due_ms);
    }

    /// Takes one back; whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        let due_ms = self.times.remove(&id);
        due_ms.is_some_and(|due_ms| self.due.remove(&(due_ms, id)).is_some())
    }

    fn retain(&mut self, keep: impl Fn(&Program) -> bool) {
        let times = &mut self.times;
        self.due.retain(|(_, id), timer| {
            let keeps = keep(&timer.program);
            if !keeps {
                times.remove(id);
            }
            keeps
        });
    }
}

impl Scheduler {
    /// A function that is to run later; its number.
    pub(super) fn set_timer(
        &mut self,
        program: &Rc<Program>,
        wait_ms: u64,
        function: Function,
        is_interval: bool,
    ) -> Result<u64, String> {
        if program.retired_ms().is_some() {
            // A reload has ended its timers. What is to run at once belongs to what a handler still does.
            self.timers.serials += 1;
            if wait_ms == 0 && !is_interval {
                let (nothing, purpose) = (MultiValue::new(), Purpose::Free);
                self.spawn(program, &function, nothing, purpose, None)?;
            }
            return Ok(self.timers.serials);
        }
        if self.timers.times.len() >= PLUGIN_TIMERS_MAX {
            return Err(format!("more than {PLUGIN_TIMERS_MAX} timers of plugins"));
        }
        self.timers.serials += 1;
        let id = self.timers.serials;
        let every_ms = is_interval.then(|| wait_ms.max(PLUGIN_INTERVAL_MS_MIN));
        let due_ms = self.now.mono_ms.saturating_add(every_ms.unwrap_or(wait_ms));
        let timer = LocalTimer {
            program: Rc::clone(program),
            function,
            every_ms,
        };
        self.timers.insert(due_ms, id, timer);
        Ok(id)
    }

    /// Begins what is due. Timers of plugins that are still being loaded wait for that.
    pub(super) fn fire_timers(&mut self) {
        let now_ms = self.now.mono_ms;
        while let Some(entry) = self.timers.due.first_entry()
            && entry.key().0 <= now_ms
        {
            let ((due_ms, id), timer) = entry.remove_entry();
            self.timers.times.remove(&id);
            let LocalTimer {
                program, function, ..
            } = &timer;
            let is_current = self
                .program
                .as_ref()
                .is_some_and(|current| Rc::ptr_eq(current, program));
            if !is_current {
                let later_ms = now_ms + PLUGIN_INTERVAL_MS_MIN;
                self.timers.insert(later_ms, id, timer);
                continue;
            }
            let spawned = self.spawn(program, function, MultiValue::new(), Purpose::Free, None);
            if let Err(text) = spawned {
                self.refuse("a timer", &text);
            }
            if let Some(every_ms) = timer.every_ms {
                // No drift; what could not be kept up with is left out.
                let next_ms = (due_ms + every_ms).max(now_ms + 1);
                self.timers.insert(next_ms, id, timer);
            }
        }
    }

    /// The timers of the old plugins end with them.
    pub(super) fn switch_timers(&mut self, old: Option<&Program>) {
        if let Some(old) = old {
            self.timers.retain(|program| program.id() != old.id());
        }
    }

    /// Plugins were not loaded: their timers never run.
    pub(super) fn drop_timers(&mut self, program: &Program) {
        self.timers.retain(|other| other.id() != program.id());
    }
}
