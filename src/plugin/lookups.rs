//! Names that coroutines wait for the addresses of: few at once are with workers, the others wait here.

use std::collections::BTreeMap;

use crate::limits::PLUGIN_LOOKUPS_MAX;
use crate::message::plugin::TaskId;

/// What is to be looked up, and what is being.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// In the order of their numbers, which is the one in which they were asked for.
    waiting: BTreeMap<TaskId, Box<str>>,
    out: Vec<TaskId>,
}

impl Lookups {
    /// A name, `HOST:PORT`, that is to be looked up under this number.
    pub fn queue(&mut self, id: TaskId, address: Box<str>) {
        self.waiting.insert(id, address);
    }

    /// The next one, if it may be looked up now; it is out until [`Lookups::end`].
    pub fn poll(&mut self) -> Option<(TaskId, Box<str>)> {
        if self.out.len() >= PLUGIN_LOOKUPS_MAX {
            return None;
        }
        let next = self.waiting.pop_first()?;
        self.out.push(next.0);
        Some(next)
    }

    /// Nobody waits for it any more.
    pub fn forget(&mut self, id: TaskId) {
        self.waiting.remove(&id);
    }

    /// It is done, if it is one of these.
    pub fn end(&mut self, id: TaskId) {
        self.out.retain(|&out| out != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_out_at_once() {
        let mut lookups = Lookups::default();
        for id in 0..10 {
            lookups.queue(TaskId(id), "a:1".into());
        }
        let out: Vec<_> = std::iter::from_fn(|| lookups.poll()).collect();
        assert_eq!(out.len(), PLUGIN_LOOKUPS_MAX);
        lookups.end(TaskId(77));
        assert_eq!(lookups.poll(), None);
        lookups.end(TaskId(0));
        lookups.forget(TaskId(4));
        assert_eq!(lookups.poll(), Some((TaskId(5), "a:1".into())));
        assert_eq!(lookups.poll(), None);
        for id in 0..10 {
            lookups.forget(TaskId(id));
        }
        assert!(lookups.waiting.is_empty());
    }
}
