//! Which coroutine runs next, which ones wait and until when. Knows names and times, never Lua: `T` is the coroutine
//! and all that belongs to it, `R` what it is resumed with.

use std::collections::{BTreeSet, VecDeque};

use slab::Slab;

use crate::message::plugin::TaskId;

/// A coroutine from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    key: u32,
    serial: u64,
}

/// All coroutines of the plugin thread.
#[derive(Debug)]
pub struct Tasks<T, R> {
    tasks: Slab<Entry<T, R>>,
    /// Counts tasks and waits: no number is given twice.
    serials: u64,
    ready: VecDeque<TaskKey>,
    /// What is due: the end of a sleep or the deadline of a task, monotonic ms.
    due: BTreeSet<(u64, TaskKey)>,
}

#[derive(Debug)]
struct Entry<T, R> {
    serial: u64,
    task: Option<T>,
    state: State<R>,
    /// When it has to have ended, monotonic ms.
    deadline_ms: Option<u64>,
}

#[derive(Debug)]
enum State<R> {
    /// It is on the ready list, or is being run where this is taken out.
    Ready(Option<R>),
    /// It is resumed under this number only, or at this time.
    Waits { id: TaskId, until_ms: Option<u64> },
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A sleep is over.
    Slept(TaskKey, TaskId),
    /// A task had to have ended.
    Deadline(TaskKey),
}

impl<T, R> Default for Tasks<T, R> {
    fn default() -> Self {
        Tasks {
            tasks: Slab::new(),
            serials: 0,
            ready: VecDeque::new(),
            due: BTreeSet::new(),
        }
    }
}

impl<T, R> Tasks<T, R> {
    /// A new task, ready to be resumed with `first`.
    pub fn spawn(&mut self, task: T, first: R, deadline_ms: Option<u64>) -> TaskKey {
        self.serials += 1;
        let serial = self.serials;
        let key = self.tasks.insert(Entry {
            serial,
            task: Some(task),
            state: State::Ready(Some(first)),
            deadline_ms,
        });
        let key = TaskKey {
            key: key as u32,
            serial,
        };
        self.ready.push_back(key);
        if let Some(deadline_ms) = deadline_ms {
            self.due.insert((deadline_ms, key));
        }
        key
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether one could run now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many could run now.
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Takes the next one that can run, and what to resume it with. It is given back by [`Tasks::wait`] or
    /// [`Tasks::again`], or ended by [`Tasks::end`].
    pub fn take_ready(&mut self) -> Option<(TaskKey, T, R)> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(entry) = self.entry(key)
                && let State::Ready(resume) = &mut entry.state
                && let Some(resume) = resume.take()
                && let Some(task) = entry.task.take()
            {
                return Some((key, task, resume));
            }
        }
        None
    }

    /// A number for a wait that is about to begin.
    pub fn name_wait(&mut self, key: TaskKey) -> TaskId {
        self.serials += 1;
        TaskId(self.serials << 24 | u64::from(key.key))
    }

    /// Gives a task back that waits under `id`, at most until `until_ms`.
    pub fn wait(&mut self, key: TaskKey, task: T, id: TaskId, until_ms: Option<u64>) {
        if let Some(entry) = self.entry(key) {
            entry.task = Some(task);
            entry.state = State::Waits { id, until_ms };
            if let Some(until_ms) = until_ms {
                self.due.insert((until_ms, key));
            }
        }
    }

    /// Gives a task back that runs again when the others had their turn.
    pub fn again(&mut self, key: TaskKey, task: T, resume: R) {
        if let Some(entry) = self.entry(key) {
            entry.task = Some(task);
            entry.state = State::Ready(Some(resume));
            self.ready.push_back(key);
        }
    }

    /// A wait is over. `false`: nobody waits under that number any more.
    pub fn wake(&mut self, id: TaskId, resume: R) -> bool {
        let Some(key) = self.waiting(id) else {
            return false;
        };
        let mut until = None;
        if let Some(entry) = self.entry(key) {
            if let State::Waits { until_ms, .. } = entry.state {
                until = until_ms;
            }
            entry.state = State::Ready(Some(resume));
        }
        if let Some(until_ms) = until
            && self
                .entry(key)
                .is_some_and(|entry| entry.deadline_ms != until)
        {
            self.due.remove(&(until_ms, key));
        }
        self.ready.push_back(key);
        true
    }

    /// Who waits under a number.
    pub fn waiting(&mut self, id: TaskId) -> Option<TaskKey> {
        let key = (id.0 & 0xff_ffff) as usize;
        let entry = self.tasks.get(key)?;
        match entry.state {
            State::Waits { id: own, .. } if own == id => Some(TaskKey {
                key: key as u32,
                serial: entry.serial,
            }),
            _ => None,
        }
    }

    /// Ends a task, and gives it back where it is not being run.
    pub fn end(&mut self, key: TaskKey) -> Option<T> {
        let entry = self.entry(key)?;
        let until = match entry.state {
            State::Waits { until_ms, .. } => until_ms,
            State::Ready(_) => None,
        };
        let times = [until, entry.deadline_ms];
        for time_ms in times.into_iter().flatten() {
            self.due.remove(&(time_ms, key));
        }
        self.tasks.remove(key.key as usize).task
    }

    /// When a task has to have ended, monotonic ms.
    pub fn deadline_ms(&self, key: TaskKey) -> Option<u64> {
        let entry = self.tasks.get(key.key as usize);
        entry
            .filter(|entry| entry.serial == key.serial)?
            .deadline_ms
    }

    /// Has a task end by then, unless it has to sooner.
    pub fn limit(&mut self, key: TaskKey, deadline_ms: u64) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        if entry
            .deadline_ms
            .is_some_and(|own_ms| own_ms <= deadline_ms)
        {
            return;
        }
        let until = match entry.state {
            State::Waits { until_ms, .. } => until_ms,
            State::Ready(_) => None,
        };
        let before = entry.deadline_ms.replace(deadline_ms);
        if let Some(before_ms) = before.filter(|_| before != until) {
            self.due.remove(&(before_ms, key));
        }
        self.due.insert((deadline_ms, key));
    }

    /// A task that is not being run.
    pub fn get(&mut self, key: TaskKey) -> Option<&mut T> {
        self.entry(key)?.task.as_mut()
    }

    /// The tasks that fit, in no order.
    pub fn keys(&self, fits: impl Fn(&T) -> bool) -> Vec<TaskKey> {
        let entries = self.tasks.iter();
        let fitting = entries.filter(|(_, entry)| entry.task.as_ref().is_some_and(&fits));
        fitting
            .map(|(key, entry)| TaskKey {
                key: key as u32,
                serial: entry.serial,
            })
            .collect()
    }

    /// What is due at that time, one at a time.
    pub fn poll_due(&mut self, now_ms: u64) -> Option<Due> {
        loop {
            let &(time_ms, key) = self.due.first()?;
            if time_ms > now_ms {
                return None;
            }
            self.due.remove(&(time_ms, key));
            let Some(entry) = self.entry(key) else {
                continue;
            };
            if entry
                .deadline_ms
                .is_some_and(|deadline_ms| deadline_ms <= now_ms)
            {
                return Some(Due::Deadline(key));
            }
            if let State::Waits { id, until_ms } = entry.state
                && until_ms == Some(time_ms)
            {
                return Some(Due::Slept(key, id));
            }
        }
    }

    /// When something is due next, monotonic ms.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.due.first().map(|&(time_ms, _)| time_ms)
    }

    fn entry(&mut self, key: TaskKey) -> Option<&mut Entry<T, R>> {
        self.tasks
            .get_mut(key.key as usize)
            .filter(|entry| entry.serial == key.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Named = Tasks<&'static str, u32>;

    fn sleep(tasks: &mut Named, until_ms: u64) -> (TaskKey, TaskId) {
        let (key, task, _) = tasks.take_ready().expect("one is ready");
        let id = tasks.name_wait(key);
        tasks.wait(key, task, id, Some(until_ms));
        (key, id)
    }

    #[test]
    fn they_take_turns() {
        let mut tasks = Named::default();
        tasks.spawn("a", 1, None);
        tasks.spawn("b", 2, None);
        let (a, task, resume) = tasks.take_ready().expect("a");
        assert_eq!((task, resume), ("a", 1));
        tasks.again(a, task, 3);
        assert_eq!(tasks.take_ready().map(|(_, task, _)| task), Some("b"));
        assert_eq!(tasks.take_ready().map(|(_, _, resume)| resume), Some(3));
        assert!(tasks.take_ready().is_none());
        assert_eq!(tasks.len(), 2, "both are being run");
    }

    #[test]
    fn a_wait_ends_once_and_under_its_own_number() {
        let mut tasks = Named::default();
        tasks.spawn("a", 0, None);
        let (key, id) = sleep(&mut tasks, 50);
        assert!(!tasks.wake(TaskId(id.0 ^ 1 << 24), 1));
        assert!(tasks.wake(id, 1));
        assert!(!tasks.wake(id, 2), "it does not wait any more");
        assert_eq!(tasks.poll_timeout(), None);
        let (_, again) = sleep(&mut tasks, 60);
        assert_ne!(again, id);
        assert!(!tasks.wake(id, 3));
        assert_eq!(tasks.poll_due(59), None);
        assert_eq!(tasks.poll_due(60), Some(Due::Slept(key, again)));
        assert!(tasks.wake(again, 4));
        assert_eq!(tasks.end(key), Some("a"));
        assert!(tasks.take_ready().is_none() && tasks.is_empty());
    }

    #[test]
    fn a_deadline_comes_through_every_state() {
        for sleep_ms in [None, Some(5), Some(10), Some(90)] {
            let mut tasks = Named::default();
            let key = tasks.spawn("a", 0, Some(10));
            if let Some(sleep_ms) = sleep_ms {
                let (_, id) = sleep(&mut tasks, sleep_ms);
                if sleep_ms < 10 {
                    assert_eq!(tasks.poll_due(9), Some(Due::Slept(key, id)));
                    tasks.wake(id, 1);
                } else if sleep_ms == 10 {
                    tasks.wake(id, 1);
                }
            }
            assert_eq!(tasks.poll_due(10), Some(Due::Deadline(key)), "{sleep_ms:?}");
            assert_eq!(tasks.end(key), Some("a"));
            assert_eq!((tasks.poll_due(u64::MAX), tasks.len()), (None, 0));
        }
    }

    #[test]
    fn a_deadline_given_later_only_shortens() {
        for (own, given, at) in [(None, 7, 7), (Some(9), 7, 7), (Some(5), 7, 5)] {
            let mut tasks = Named::default();
            let key = tasks.spawn("a", 0, own);
            sleep(&mut tasks, 9);
            tasks.limit(key, given);
            assert_eq!(tasks.deadline_ms(key), Some(at));
            assert_eq!(tasks.poll_due(at - 1), None);
            assert_eq!(tasks.poll_due(at), Some(Due::Deadline(key)), "{own:?}");
            assert_eq!(tasks.end(key), Some("a"));
            assert_eq!(tasks.poll_timeout(), None, "{own:?}");
            tasks.limit(key, 1);
            assert_eq!(tasks.poll_timeout(), None);
        }
    }

    #[test]
    fn keys_are_reused_and_names_are_not() {
        let mut tasks = Named::default();
        let first = tasks.spawn("a", 0, None);
        let (_, id) = sleep(&mut tasks, 5);
        tasks.end(first);
        let second = tasks.spawn("b", 0, None);
        assert_ne!(first, second);
        assert!(!tasks.wake(id, 9) && tasks.get(first).is_none());
        assert_eq!(tasks.keys(|task| *task == "b"), [second]);
    }
}
