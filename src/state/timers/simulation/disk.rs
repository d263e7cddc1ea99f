//! What a simulated disk holds, and chance.

use std::collections::BTreeMap;

use crate::message::{StoredTimers, TimerChange};

/// A linear congruential generator.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What the file would hold.
#[derive(Clone, Default)]
pub struct Disk {
    pub list: Vec<(i64, Box<str>)>,
    pub failed: BTreeMap<i64, Box<str>>,
    next_id: i64,
    next_one_shot_id: i64,
}

impl Disk {
    pub fn apply(&mut self, change: TimerChange) {
        match change {
            TimerChange::Put { id, json } => {
                self.next_id = self.next_id.max(id + 1);
                self.next_one_shot_id = self.next_one_shot_id.min(id - 1);
                self.failed.remove(&id);
                match self.list.iter_mut().find(|(other, _)| *other == id) {
                    Some(entry) => entry.1 = json,
                    None => self.list.push((id, json)),
                }
            }
            TimerChange::Del { id } => {
                self.failed.remove(&id);
                self.list.retain(|(other, _)| *other != id);
            }
            TimerChange::Clear => self.list.retain(|(id, _)| *id < 0),
            TimerChange::Fail { id, json } => {
                self.list.retain(|(other, _)| *other != id);
                self.failed.insert(id, json);
            }
            TimerChange::Next { id, one_shot_id } => {
                self.next_id = self.next_id.max(id);
                self.next_one_shot_id = self.next_one_shot_id.min(one_shot_id);
            }
        }
    }

    pub fn stored(&self) -> StoredTimers {
        StoredTimers {
            next_id: self.next_id,
            next_one_shot_id: self.next_one_shot_id,
            timers: self.list.clone(),
            failed: self
                .failed
                .iter()
                .map(|(id, json)| (*id, json.clone()))
                .collect(),
        }
    }
}
