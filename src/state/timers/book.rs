//! The timers that are kept, periodic ones and persistent one-shots: by id, by place in the list, by code.
//! Never decides when one runs.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::proto::json;
use crate::state::timers::fields::{Fields, Plan, STORED_DUE, STORED_RAN_TO, STORED_RUNS};

/// A timer that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Positive for a periodic one, negative for a one-shot.
    pub id: i64,
    /// Its place in the list.
    pub place: u64,
    /// Changes with its fields; a run of another version is stale.
    pub version: u32,
    /// `app-obj-key`, as it was given.
    pub code: Option<Box<str>>,
    /// Its fields as compact JSON, without `id` and without what is ours.
    pub json: Box<str>,
    /// What they mean, or why it does not run.
    pub plan: Result<Box<Plan>, Box<str>>,
    /// The record that must be on disk before it runs.
    pub pending: Option<u64>,
    /// To be run when that is so (`Timer.run`).
    pub run_when_stored: bool,
    /// When a one-shot is due, monotonic ms.
    pub due_ms: u64,
    /// The same as Unix ms, which is all that a restart knows; as it was when it was set.
    pub due_unix_ms: i64,
    /// Occurrences that count for `maxRuns`.
    pub counted: u64,
    /// Unix s up to which a crontab line's occurrences are dealt with.
    pub ran_to_s: i64,
    /// Due of the first run of an interval, monotonic ms.
    pub anchor_ms: u64,
    /// The occurrence that is next for a crontab line, Unix s, without splay.
    pub occurrence_s: i64,
    /// The last minute that matched when it looked, Unix s, and when that was, monotonic ms.
    pub looked: Option<(i64, u64)>,
    /// When it was due, when a change took it off its schedule: the change may be undone.
    pub suspended: Option<Suspended>,
    /// Whether it runs once more when its run is over.
    pub queued: bool,
    /// A one-shot that is done, though the disk does not know: not to be run again.
    pub finished: Option<Finished>,
    /// Its runs.
    pub history: History,
}

/// A due time, by the clock that it follows.
#[derive(Clone, Copy, Debug)]
pub enum Suspended {
    /// Monotonic ms.
    Mono(u64),
    /// Unix ms.
    Wall(u64),
}

/// How a persistent one-shot ended.
#[derive(Clone, Debug)]
pub enum Finished {
    /// Its callback succeeded.
    Done,
    /// It used up its retries, and why.
    Failed(Box<str>),
}

/// What is known about a timer's runs, since the start of the daemon.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Runs begun; the last one's number.
    pub runs: u64,
    /// Runs failed since the last success.
    pub failures: u32,
    /// The last runs that are over, oldest first.
    pub last: VecDeque<RunRow>,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its number.
    pub number: u64,
    /// When it began, Unix ms.
    pub unix_ms: u64,
    /// Due until handed out, ms.
    pub late_ms: u64,
    /// The callback's duration, ms.
    pub took_ms: u64,
    /// The answer's status, or `None` where there was no answer.
    pub status: Option<u16>,
    /// Whether it counts as failed.
    pub failed: bool,
    /// The answer's first bytes, or why there was none.
    pub text: Box<str>,
}

impl Kept {
    /// Its fields; empty if they cannot be read, which they can.
    pub fn fields(&self) -> Fields {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// What is stored: fields, then what is ours, `id` last.
    pub fn record(&self) -> Box<str> {
        let mut fields = self.fields();
        if let Ok(plan) = &self.plan {
            if plan.is_once() {
                fields.insert(STORED_DUE.to_owned(), self.due_unix_ms.into());
            }
            if plan.max_runs.is_some() {
                fields.insert(STORED_RUNS.to_owned(), self.counted.into());
            }
            if plan.misfire_once {
                fields.insert(STORED_RAN_TO.to_owned(), self.ran_to_s.into());
            }
        }
        fields.insert("id".to_owned(), self.id.into());
        json::to_text(&Value::Object(fields)).into()
    }
}

/// All timers that are kept.
#[derive(Debug, Default)]
pub struct Book {
    periodic: Shelf,
    one_shots: Shelf,
    next_place: u64,
}

/// Those of one kind, so that a kind can be taken out as a whole, however many they are.
#[derive(Debug, Default)]
pub struct Shelf {
    timers: BTreeMap<i64, Box<Kept>>,
    places: BTreeMap<u64, i64>,
    codes: BTreeMap<Box<str>, i64>,
    bytes: usize,
}

impl Book {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.periodic.timers.len() + self.one_shots.timers.len()
    }

    /// How many are periodic, disabled ones too.
    pub fn periodic(&self) -> usize {
        self.periodic.timers.len()
    }

    /// Bytes of their fields together.
    pub fn bytes(&self) -> usize {
        self.periodic.bytes + self.one_shots.bytes
    }

    /// The place behind all others.
    pub fn new_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    /// The timer of that id.
    pub fn get(&self, id: i64) -> Option<&Kept> {
        let shelf = if id > 0 {
            &self.periodic
        } else {
            &self.one_shots
        };
        shelf.get(id)
    }

    /// The timer of that id, to be changed in all but its place and code.
    pub fn get_mut(&mut self, id: i64) -> Option<&mut Kept> {
        self.shelf(id).timers.get_mut(&id).map(Box::as_mut)
    }

    /// The id of the timer with that code.
    pub fn id_of(&self, code: &str) -> Option<i64> {
        let periodic = self.periodic.codes.get(code);
        periodic.or(self.one_shots.codes.get(code)).copied()
    }

    /// Puts a timer in, in place of the one with its id, which is given back.
    pub fn insert(&mut self, kept: Box<Kept>) -> Option<Box<Kept>> {
        self.shelf(kept.id).insert(kept)
    }

    /// Takes a timer out.
    pub fn remove(&mut self, id: i64) -> Option<Box<Kept>> {
        self.shelf(id).remove(id)
    }

    /// Takes all periodic timers out, at once.
    pub fn take_periodic(&mut self) -> Shelf {
        std::mem::take(&mut self.periodic)
    }

    /// Puts them back, when none has come since.
    pub fn put_back(&mut self, periodic: Shelf) {
        self.periodic = periodic;
    }

    /// Ids, in ascending order.
    #[cfg(test)]
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        let shelves = [&self.one_shots, &self.periodic];
        shelves
            .into_iter()
            .flat_map(|shelf| shelf.timers.keys().copied())
    }

    /// The first periodic timer whose id is greater.
    pub fn periodic_behind(&self, id: i64) -> Option<&Kept> {
        let mut behind = self.periodic.timers.range(id + 1..);
        behind.next().map(|(_, kept)| kept.as_ref())
    }

    /// Places and timers in the list's order, beginning behind `place`.
    pub fn behind(&self, place: u64) -> impl Iterator<Item = (u64, &Kept)> {
        let mut periodic = self.periodic.behind(place).peekable();
        let mut one_shots = self.one_shots.behind(place).peekable();
        std::iter::from_fn(move || match (periodic.peek(), one_shots.peek()) {
            (Some((a, _)), Some((b, _))) if a > b => one_shots.next(),
            (None, _) => one_shots.next(),
            (Some(_), _) => periodic.next(),
        })
    }

    fn shelf(&mut self, id: i64) -> &mut Shelf {
        if id > 0 {
            &mut self.periodic
        } else {
            &mut self.one_shots
        }
    }
}

impl Shelf {
    /// The timer of that id.
    pub fn get(&self, id: i64) -> Option<&Kept> {
        self.timers.get(&id).map(Box::as_ref)
    }

    /// Frees up to `count` of what it holds; whether nothing is left.
    pub fn free(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let (timer, place) = (self.timers.pop_first(), self.places.pop_first());
            let code = self.codes.pop_first();
            if timer.is_none() && place.is_none() && code.is_none() {
                return true;
            }
        }
        false
    }

    fn insert(&mut self, kept: Box<Kept>) -> Option<Box<Kept>> {
        let before = self.remove(kept.id);
        self.places.insert(kept.place, kept.id);
        if let Some(code) = kept.code.as_deref() {
            // A file may hold a code twice: the first one has it.
            self.codes.entry(code.into()).or_insert(kept.id);
        }
        self.bytes += kept.json.len();
        self.timers.insert(kept.id, kept);
        before
    }

    fn remove(&mut self, id: i64) -> Option<Box<Kept>> {
        let kept = self.timers.remove(&id)?;
        self.places.remove(&kept.place);
        if let Some(code) = kept.code.as_deref()
            && self.codes.get(code) == Some(&id)
        {
            self.codes.remove(code);
        }
        self.bytes -= kept.json.len();
        Some(kept)
    }

    fn behind(&self, place: u64) -> impl Iterator<Item = (u64, &Kept)> {
        self.places
            .range(place + 1..)
            .filter_map(|(place, id)| Some((*place, self.get(*id)?)))
    }
}
