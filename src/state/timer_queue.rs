//! Which timer is due next: ids and due times, nothing else. Never reads a clock, never knows what a
//! timer calls; time is whatever monotonic milliseconds the caller counts.
//!
//! A heap with four children per node in pages, of 16 bytes a timer, and the place of each id in it
//! ([`id_pages`]), of 6: 1,000,000 pending cost 22 MB. Chosen for its pauses:
//!
//! | instead of | why not |
//! |---|---|
//! | one `Vec` and a hash table | double at some size: the one call that meets it stops for tens of ms |
//! | a heap that skips cancelled entries when they come up | setting and cancelling long timers grows it without end, or a sweep stops it |
//! | a hierarchical wheel | a wheel's turn moves a whole slot at once, and a million may share a slot |
//! | two B-trees, by due time and by id | the same bounds at more than twice the memory |
//!
//! Every call is O(log n) (10 levels at a million) and allocates at most a page and a few tree nodes.

use std::fmt;
use std::num::NonZeroU32;

use id_pages::IdPages;
use pages::Pages;

pub mod id_pages;
mod pages;

/// Children per node: half the levels of a binary heap, and the children lie in one or two cache lines.
const CHILDREN: usize = 4;

/// Pending timers, in the order in which they come due.
#[derive(Debug)]
pub struct TimerQueue {
    heap: Pages<Entry>,
    /// Place in the heap, counted from 1. Every entry's place is here and nothing else is.
    places: IdPages<NonZeroU32>,
    pending_max: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due_ms: u64,
    id: i64,
}

/// A timer that came due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// As it was added.
    pub id: i64,
    /// When it was to fire, ms; the caller's now less this is its lateness.
    pub due_ms: u64,
}

/// There are as many timers pending as the queue takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many timers pending")
    }
}

impl std::error::Error for QueueFull {}

impl TimerQueue {
    /// An empty queue for at most `pending_max` timers, e.g. [`crate::limits::TIMERS_PENDING_MAX`].
    pub fn new(pending_max: u32) -> Self {
        TimerQueue {
            heap: Pages::new(),
            places: IdPages::default(),
            pending_max,
        }
    }

    /// How many are pending.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the first one is due, ms.
    pub fn next_due(&self) -> Option<u64> {
        self.heap.get(0).map(|entry| entry.due_ms)
    }

    /// When this one is due, ms; `None` if it is not pending.
    pub fn due_ms(&self, id: i64) -> Option<u64> {
        let place = self.place(id)?;
        self.heap.get(place).map(|entry| entry.due_ms)
    }

    /// Lets `id` come due at `due_ms`; a pending one is moved there. Errors: the queue is full, and unchanged.
    pub fn add(&mut self, id: i64, due_ms: u64) -> Result<(), QueueFull> {
        let entry = Entry { due_ms, id };
        if let Some(place) = self.place(id) {
            self.settle(place, entry);
            return Ok(());
        }
        let place = self.heap.len();
        if place >= self.pending_max as usize {
            return Err(QueueFull);
        }
        self.heap.push(entry);
        self.settle(place, entry);
        Ok(())
    }

    /// Takes `id` out; `false` if it was not pending.
    pub fn cancel(&mut self, id: i64) -> bool {
        let Some(place) = self.place(id) else {
            return false;
        };
        self.take(place);
        true
    }

    /// Takes out the first timer that is due at `now_ms` or before, one per call, so that the caller
    /// decides how many it wants in a turn. Order: by due time, then by how early the id was given out.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Due> {
        let Entry { due_ms, id } = self.heap.get(0).filter(|entry| entry.due_ms <= now_ms)?;
        self.take(0);
        Some(Due { id, due_ms })
    }

    fn place(&self, id: i64) -> Option<usize> {
        self.places.get(id).map(|place| place.get() as usize - 1)
    }

    /// Removes the entry at `place`; the last one fills the hole.
    fn take(&mut self, place: usize) {
        let Some(taken) = self.heap.get(place) else {
            return;
        };
        self.places.remove(taken.id);
        if let Some(last) = self.heap.pop()
            && place < self.heap.len()
        {
            self.settle(place, last);
        }
    }

    /// Puts `entry` where it belongs, starting from the hole at `place`; what is in its way moves one level.
    fn settle(&mut self, place: usize, entry: Entry) {
        let mut hole = place;
        while hole > 0 {
            let parent = (hole - 1) / CHILDREN;
            let Some(above) = self.heap.get(parent).filter(|above| entry.is_before(above)) else {
                break;
            };
            self.put(hole, above);
            hole = parent;
        }
        while let Some((child, below)) = self
            .first_child(hole)
            .filter(|(_, below)| below.is_before(&entry))
        {
            self.put(hole, below);
            hole = child;
        }
        self.put(hole, entry);
    }

    fn first_child(&self, place: usize) -> Option<(usize, Entry)> {
        let first = place * CHILDREN + 1;
        let mut earliest = (first, self.heap.get(first)?);
        for child in first + 1..first + CHILDREN {
            match self.heap.get(child) {
                Some(entry) if entry.is_before(&earliest.1) => earliest = (child, entry),
                Some(_) => {}
                None => break,
            }
        }
        Some(earliest)
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap.set(place, entry);
        // `add` keeps places below `pending_max`, so the next number fits.
        let number = NonZeroU32::MIN.saturating_add(place as u32);
        self.places.insert(entry.id, number);
    }
}

impl Entry {
    /// One-shots count down from -1 and periodic timers up from 1: the smaller number is the older one.
    fn is_before(&self, other: &Entry) -> bool {
        (self.due_ms, self.id.unsigned_abs(), self.id)
            < (other.due_ms, other.id.unsigned_abs(), other.id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The same queue as two trees, slow and plain.
    #[derive(Default)]
    struct Model {
        due: BTreeMap<i64, u64>,
        order: BTreeSet<(u64, u64, i64)>,
    }

    impl Model {
        fn add(&mut self, id: i64, due_ms: u64) {
            self.cancel(id);
            self.due.insert(id, due_ms);
            self.order.insert((due_ms, id.unsigned_abs(), id));
        }

        fn cancel(&mut self, id: i64) -> bool {
            let due_ms = self.due.remove(&id);
            due_ms.is_some_and(|due_ms| self.order.remove(&(due_ms, id.unsigned_abs(), id)))
        }

        fn pop_due(&mut self, now_ms: u64) -> Option<Due> {
            let &(due_ms, _, id) = self
                .order
                .first()
                .filter(|(due_ms, ..)| *due_ms <= now_ms)?;
            self.cancel(id);
            Some(Due { id, due_ms })
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    /// Every place is right and no child comes before its parent.
    #[track_caller]
    fn check_invariants(queue: &TimerQueue) {
        for place in 0..queue.len() {
            let entry = queue.heap.get(place).expect("within the length");
            assert_eq!(queue.place(entry.id), Some(place));
            if place > 0 {
                let parent = queue.heap.get((place - 1) / CHILDREN).expect("a parent");
                assert!(parent.is_before(&entry), "{parent:?} above {entry:?}");
            }
        }
    }

    /// `wait_ms_max` small: many share a due time. `cancels` of 8 steps cancel or move a pending timer.
    #[track_caller]
    fn check_against_model(seed: u64, steps: u64, wait_ms_max: u64, cancels: u64) {
        let (mut queue, mut model, mut random) =
            (TimerQueue::new(u32::MAX), Model::default(), Random(seed));
        let (mut now_ms, mut last_id) = (0, 0);
        for step in 0..steps {
            let dice = random.below(8);
            let some_id = -(random.below(last_id as u64 + 2) as i64);
            if dice < cancels {
                if random.below(3) == 0 && model.due.contains_key(&some_id) {
                    let due_ms = now_ms + random.below(wait_ms_max);
                    queue.add(some_id, due_ms).expect("room");
                    model.add(some_id, due_ms);
                } else {
                    assert_eq!(
                        queue.cancel(some_id),
                        model.cancel(some_id),
                        "seed {seed} step {step}"
                    );
                }
            } else if dice < 7 {
                last_id += 1;
                let due_ms = now_ms + random.below(wait_ms_max);
                let id = if random.below(4) == 0 {
                    last_id
                } else {
                    -last_id
                };
                queue.add(id, due_ms).expect("room");
                model.add(id, due_ms);
            } else {
                now_ms += random.below(wait_ms_max / 4 + 2);
                for _ in 0..random.below(40) {
                    assert_eq!(
                        queue.pop_due(now_ms),
                        model.pop_due(now_ms),
                        "seed {seed} step {step}"
                    );
                }
            }
            assert_eq!(queue.len(), model.due.len(), "seed {seed} step {step}");
            assert_eq!(
                queue.next_due(),
                model.order.first().map(|first| first.0),
                "seed {seed} step {step}"
            );
            assert_eq!(
                queue.due_ms(some_id),
                model.due.get(&some_id).copied(),
                "seed {seed} step {step}"
            );
            if step % 997 == 0 {
                check_invariants(&queue);
            }
        }
        check_invariants(&queue);
        while let Some(due) = model.pop_due(u64::MAX) {
            assert_eq!(queue.pop_due(u64::MAX), Some(due), "seed {seed} at the end");
        }
        assert!(
            queue.is_empty() && queue.pop_due(u64::MAX).is_none(),
            "seed {seed}"
        );
    }

    #[test]
    fn agrees_with_two_trees() {
        for seed in 1..=20 {
            check_against_model(seed, 2_000, 50, 3);
            check_against_model(seed, 2_000, 2, 4);
            check_against_model(seed, 2_000, 1 << 30, 1);
        }
        check_against_model(21, 60_000, 1_000_000, 1);
    }

    #[test]
    fn never_early_and_in_order() {
        let mut queue = TimerQueue::new(10);
        for (id, due_ms) in [
            (-1, 30),
            (-2, 10),
            (-3, 10),
            (1, 10),
            (-4, u64::MAX),
            (2, 0),
        ] {
            queue.add(id, due_ms).expect("room");
        }
        let mut turn = |now_ms| {
            std::iter::from_fn(|| queue.pop_due(now_ms))
                .map(|due| due.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(turn(0), [2]);
        assert!(turn(9).is_empty());
        assert_eq!(turn(29), [1, -2, -3]);
        assert_eq!(turn(30), [-1]);
        assert!(turn(u64::MAX - 1).is_empty());
        assert_eq!(turn(u64::MAX), [-4]);
    }

    #[test]
    fn a_pending_one_is_moved() {
        let mut queue = TimerQueue::new(10);
        for (id, due_ms) in [(1, 5), (2, 6), (1, 7), (2, 1)] {
            queue.add(id, due_ms).expect("room");
        }
        assert_eq!(
            (queue.len(), queue.due_ms(1), queue.due_ms(2)),
            (2, Some(7), Some(1))
        );
        assert_eq!(queue.pop_due(10), Some(Due { id: 2, due_ms: 1 }));
        assert_eq!(queue.pop_due(10), Some(Due { id: 1, due_ms: 7 }));
    }

    #[test]
    fn full_is_refused_and_changes_nothing() {
        let mut queue = TimerQueue::new(2);
        queue.add(i64::MIN, 1).expect("room");
        queue.add(i64::MAX, 2).expect("room");
        assert_eq!(queue.add(3, 0), Err(QueueFull));
        assert_eq!(
            (queue.len(), queue.due_ms(3), queue.next_due()),
            (2, None, Some(1))
        );
        queue.add(i64::MIN, 3).expect("it is pending already");
        assert!(queue.cancel(i64::MAX) && !queue.cancel(i64::MAX));
        queue.add(3, 0).expect("room again");
    }

    #[test]
    fn setting_and_cancelling_for_ever_keeps_nothing() {
        let mut queue = TimerQueue::new(u32::MAX);
        queue.add(-1, 86_400_000).expect("room");
        for id in 2..100_000 {
            queue.add(-id, 3_600_000 + id as u64).expect("room");
            assert!(queue.cancel(-id));
        }
        assert_eq!((queue.len(), queue.next_due()), (1, Some(86_400_000)));
    }
}
