//! What is stored about timers, in memory: entries as compact JSON by id, with their places in the list.
//! What the next `timer.json` is made of; holds acknowledged changes only. Never touches a file.
//!
//! Kept, and not read again from the old file at each merge, so that a folder that was removed or a file that
//! was damaged while the daemon runs is written anew whole. It costs a periodic timer its text and 60 bytes.

use std::collections::BTreeMap;

use crate::limits::WARNED_IDS_MAX;
use crate::message::{StoredTimers, TimerChange};
use crate::proto::journal::Record;
use crate::proto::timer_file::{Entry, Member, TimerFile, Writer, with_id};

/// All that is stored.
#[derive(Debug, Default)]
pub(super) struct Image {
    next_id: i64,
    next_one_shot_id: i64,
    periodic: BTreeMap<i64, Slot>,
    next_place: u64,
    one_shots: BTreeMap<i64, Box<str>>,
    failed: BTreeMap<i64, Box<str>>,
    strays: Vec<Box<str>>,
    extra: Vec<Member>,
    our_extra: Vec<Member>,
}

#[derive(Debug)]
struct Slot {
    place: u64,
    json: Box<str>,
}

/// Entries that wait for an id: their place and text. They get one after the journal was read, which may have
/// given the next ones away already.
#[derive(Debug, Default)]
pub(super) struct Unnumbered {
    periodic: Vec<(u64, Box<str>)>,
    one_shots: Vec<Box<str>>,
    failed: Vec<Box<str>>,
}

impl Image {
    /// What a file holds.
    pub(super) fn new(file: TimerFile) -> (Self, Unnumbered) {
        let mut image = Image {
            next_id: file.next_id,
            next_one_shot_id: file.next_one_shot_id,
            strays: file.strays,
            extra: file.extra,
            our_extra: file.our_extra,
            ..Image::default()
        };
        let mut unnumbered = Unnumbered::default();
        for Entry { id, json } in file.list {
            let place = image.next_place;
            image.next_place += 1;
            match id.filter(|id| !image.periodic.contains_key(id)) {
                Some(id) => {
                    image.next_id = image.next_id.max(id + 1);
                    image.periodic.insert(id, Slot { place, json });
                }
                None => unnumbered.periodic.push((place, json)),
            }
        }
        for Entry { id, json } in file.one_shots {
            match id.filter(|id| !image.one_shots.contains_key(id)) {
                Some(id) => {
                    image.next_one_shot_id = image.next_one_shot_id.min(id - 1);
                    image.one_shots.insert(id, json);
                }
                None => unnumbered.one_shots.push(json),
            }
        }
        for Entry { id, json } in file.failed {
            let is_free =
                |id: &i64| !image.failed.contains_key(id) && !image.one_shots.contains_key(id);
            match id.filter(is_free) {
                Some(id) => {
                    image.next_one_shot_id = image.next_one_shot_id.min(id - 1);
                    image.failed.insert(id, json);
                }
                None => unnumbered.failed.push(json),
            }
        }
        (image, unnumbered)
    }

    /// Gives ids to the entries that have none; the ids given.
    pub(super) fn number(&mut self, unnumbered: Unnumbered) -> Vec<i64> {
        let mut given = Vec::new();
        for (place, json) in unnumbered.periodic {
            let id = self.next_id;
            self.next_id += 1;
            let json = with_id(&json, id);
            self.periodic.insert(id, Slot { place, json });
            given.push(id);
        }
        for (list, entries) in [
            (&mut self.one_shots, unnumbered.one_shots),
            (&mut self.failed, unnumbered.failed),
        ] {
            for json in entries {
                let id = self.next_one_shot_id;
                self.next_one_shot_id -= 1;
                list.insert(id, with_id(&json, id));
                given.push(id);
            }
        }
        given
    }

    /// Applies a change. A second time, with all that followed it, it changes nothing: a file may hold
    /// the outcome of records that are read again behind it.
    pub(super) fn apply(&mut self, change: TimerChange) {
        match change {
            TimerChange::Put { id, json } if id > 0 => {
                self.next_id = self.next_id.max(id.saturating_add(1));
                if let Some(slot) = self.periodic.get_mut(&id) {
                    slot.json = json;
                    return;
                }
                let place = self.next_place;
                self.next_place += 1;
                self.periodic.insert(id, Slot { place, json });
            }
            TimerChange::Put { id, json } => {
                self.next_one_shot_id = self.next_one_shot_id.min(id.saturating_sub(1));
                self.failed.remove(&id);
                self.one_shots.insert(id, json);
            }
            TimerChange::Fail { id, json } => {
                self.next_one_shot_id = self.next_one_shot_id.min(id.saturating_sub(1));
                self.one_shots.remove(&id);
                self.failed.insert(id, json);
            }
            TimerChange::Del { id } => {
                self.periodic.remove(&id);
                self.one_shots.remove(&id);
                self.failed.remove(&id);
            }
            TimerChange::Clear => self.periodic.clear(),
            TimerChange::Next { id, one_shot_id } => {
                self.next_id = self.next_id.max(id);
                self.next_one_shot_id = self.next_one_shot_id.min(one_shot_id);
            }
        }
    }

    /// Writes `timer.json`, handing over a piece whenever there are `slice` bytes.
    pub(super) fn write<E>(
        &self,
        epoch: u64,
        slice: usize,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut slots: Vec<&Slot> = self.periodic.values().collect();
        slots.sort_unstable_by_key(|slot| slot.place);
        let mut writer = Writer::new(self.next_id);
        let mut item = |writer: &mut Writer, json: &str| {
            writer.item(json);
            if writer.out.len() < slice {
                return Ok(());
            }
            let outcome = put(&writer.out);
            writer.out.clear();
            outcome
        };
        for slot in slots {
            item(&mut writer, &slot.json)?;
        }
        for stray in &self.strays {
            item(&mut writer, stray)?;
        }
        writer.end_list(&self.extra, epoch, self.next_one_shot_id, &self.our_extra);
        for json in self.one_shots.values().rev() {
            item(&mut writer, json)?;
        }
        writer.end_one_shots();
        for json in self.failed.values().rev() {
            item(&mut writer, json)?;
        }
        writer.end();
        put(&writer.out)
    }

    /// For the timers' owner: periodic ones in the list's order, then one-shots as they were set.
    pub(super) fn stored(&self) -> StoredTimers {
        let mut slots: Vec<(&i64, &Slot)> = self.periodic.iter().collect();
        slots.sort_unstable_by_key(|(_, slot)| slot.place);
        let periodic = slots.into_iter().map(|(id, slot)| (*id, slot.json.clone()));
        StoredTimers {
            next_id: self.next_id,
            next_one_shot_id: self.next_one_shot_id,
            timers: periodic.chain(entries(&self.one_shots)).collect(),
            failed: entries(&self.failed).collect(),
        }
    }

    /// What is kept in the list though it is no timer.
    pub(super) fn strays(&self) -> usize {
        self.strays.len()
    }
}

impl Unnumbered {
    pub(super) fn is_empty(&self) -> bool {
        self.periodic.is_empty() && self.one_shots.is_empty() && self.failed.is_empty()
    }
}

/// As they were set.
fn entries(one_shots: &BTreeMap<i64, Box<str>>) -> impl Iterator<Item = (i64, Box<str>)> {
    let newest_last = one_shots.iter().rev();
    newest_last.map(|(id, json)| (*id, json.clone()))
}

/// Ids for a warning; beyond some, how many there are.
pub(super) fn id_list(ids: &[i64]) -> String {
    let shown: Vec<String> = ids
        .iter()
        .take(WARNED_IDS_MAX)
        .map(i64::to_string)
        .collect();
    let mut text = shown.join(", ");
    if ids.len() > WARNED_IDS_MAX {
        text.push_str(&format!(" … ({} in all)", ids.len()));
    }
    text
}

/// A record of the journal as the change it is.
pub(super) fn change_of(record: Record<'_>) -> TimerChange {
    match record {
        Record::Put { id, json } => TimerChange::Put {
            id,
            json: json.into(),
        },
        Record::Fail { id, json } => TimerChange::Fail {
            id,
            json: json.into(),
        },
        Record::Del { id } => TimerChange::Del { id },
        Record::Clear => TimerChange::Clear,
        Record::Next { id, one_shot_id } => TimerChange::Next { id, one_shot_id },
    }
}

/// A change as a record of the journal.
pub(super) fn record_of(change: &TimerChange) -> Record<'_> {
    match change {
        TimerChange::Put { id, json } => Record::Put { id: *id, json },
        TimerChange::Fail { id, json } => Record::Fail { id: *id, json },
        TimerChange::Del { id } => Record::Del { id: *id },
        TimerChange::Clear => Record::Clear,
        TimerChange::Next { id, one_shot_id } => Record::Next {
            id: *id,
            one_shot_id: *one_shot_id,
        },
    }
}
