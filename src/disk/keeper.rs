//! Between the timer thread and the storage: collects records, answers for them, and says when
//! `timer.json` is written anew. Never touches a file itself.
//!
//! **Order.** Records of one batch are written together and answered by one `Committed`. When the disk does not take
//! them, `Refused` names the first; the keeper's generation goes up by one, and from then on it drops every record of an
//! older generation without a reply. Channels keep order, so such a record was sent before its sender took that `Refused`,
//! and was undone with it; a record of the new generation was sent after, on top of the state that is on disk. So
//! no record is ever written whose forerunner was refused, and each is either covered by one `Committed` or by one `Refused`.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never};

use crate::disk::files::Files;
use crate::disk::store::{Merge, Merged, Store};
use crate::limits::{MERGE_QUIET_MS, MERGE_RETRY_MS};
use crate::message::{TimerChange, TimerMsg, TimerRecord};
use crate::proto::timer_file;

/// The way back to the timer thread; it may wait.
pub(super) type Reply = Box<dyn Fn(TimerMsg) + Send>;

/// The storage and what is under way.
pub(super) struct Keeper<F: Files> {
    store: Store<F>,
    reply: Reply,
    generation: u32,
    /// The batch: changes, and the numbers of the first and the last.
    changes: Vec<TimerChange>,
    seqs: Option<(u64, u64)>,
    /// The first record that cannot be stored, and why; it ends the batch.
    unfit: Option<(u64, String)>,
    merged: Receiver<Merged>,
    is_merging: bool,
    /// When to begin a merge.
    merge_at: Option<Instant>,
    /// A merge failed: none is begun before `merge_at`, however long the journal is.
    is_merge_failing: bool,
    is_failing: bool,
}

impl<F: Files> Keeper<F> {
    pub(super) fn new(store: Store<F>, reply: Reply, now: Instant) -> Self {
        let merge_at = store.is_behind().then(|| quiet_end(now));
        Keeper {
            store,
            reply,
            generation: 0,
            changes: Vec::new(),
            seqs: None,
            unfit: None,
            merged: never(),
            is_merging: false,
            merge_at,
            is_merge_failing: false,
            is_failing: false,
        }
    }

    /// Adds a record to the batch.
    pub(super) fn handle_record(&mut self, record: TimerRecord) {
        let TimerRecord {
            seq,
            generation,
            change,
        } = record;
        if generation != self.generation || self.unfit.is_some() {
            return;
        }
        if let TimerChange::Put { id, json } | TimerChange::Fail { id, json } = &change
            && !timer_file::is_entry(json, *id)
        {
            // One such text would make the whole file unreadable.
            self.unfit = Some((seq, format!("the fields of timer {id} are no JSON of it")));
            return;
        }
        self.changes.push(change);
        let first = self.seqs.map_or(seq, |(first, _)| first);
        self.seqs = Some((first, seq));
    }

    /// Has the batch last and answers for it. `unix_ms`: the wall clock. A line for the log when
    /// refusals begin or end.
    pub(super) fn commit(&mut self, now: Instant, unix_ms: u64) -> Option<String> {
        let mut refused = None;
        if let Some((first, last)) = self.seqs.take() {
            let changes = std::mem::take(&mut self.changes);
            match self.store.commit(changes, unix_ms) {
                Ok(()) => {
                    (self.reply)(TimerMsg::Committed { seq: last });
                    if !self.is_merge_failing {
                        self.merge_at = Some(quiet_end(now));
                    }
                }
                Err(reason) => {
                    refused = Some((first, reason));
                    // What could not be cut off would be read at the next start, were it not written anew.
                    if self.store.is_behind() {
                        self.merge_at.get_or_insert(quiet_end(now));
                    }
                }
            }
        } else if self.unfit.is_none() {
            return None;
        }
        let (seq, reason) = match (refused, self.unfit.take()) {
            (Some(refused), _) | (None, Some(refused)) => refused,
            (None, None) => {
                let was_failing = std::mem::take(&mut self.is_failing);
                return was_failing.then(|| "timers are stored again".to_owned());
            }
        };
        // One step at a time, as its sender counts them.
        self.generation = self.generation.wrapping_add(1);
        let is_first = !std::mem::replace(&mut self.is_failing, true);
        let line = is_first.then(|| format!("a change of timers is refused: {reason}"));
        (self.reply)(TimerMsg::Refused {
            seq,
            reason: reason.into(),
        });
        line
    }

    /// When to call [`Keeper::handle_time`], if nothing comes before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.merge_at.filter(|_| !self.is_merging)
    }

    /// Tells when a merge that runs in its thread has ended, for [`Keeper::handle_merged`].
    pub(super) fn merged(&self) -> &Receiver<Merged> {
        &self.merged
    }

    /// Begins a merge if one is due. A line for the log if that failed.
    pub(super) fn handle_time(&mut self, now: Instant, unix_ms: u64) -> Option<String> {
        let is_due = self.merge_at.is_some_and(|at| at <= now)
            || (!self.is_merge_failing && self.store.is_long());
        if self.is_merging || !is_due {
            return None;
        }
        self.merge_at = None;
        match self.store.begin_merge(unix_ms) {
            Ok(None) => self.merge_ended(Ok(()), now),
            Ok(Some(merge)) => {
                self.merged = run_beside(merge);
                self.is_merging = true;
                None
            }
            Err(reason) => self.merge_ended(Err(reason), now),
        }
    }

    /// A merge ended; `None`: its thread ended without a word. A line for the log.
    pub(super) fn handle_merged(&mut self, merged: Option<Merged>, now: Instant) -> Option<String> {
        self.merged = never();
        let Some(merged) = merged else {
            // The image went with it. Records are still taken, and the next start reads them.
            return Some("the merge of timers ended in a defect; none follows".to_owned());
        };
        self.is_merging = false;
        let outcome = self.store.end_merge(merged);
        self.merge_ended(outcome, now)
    }

    /// At the end: waits for a merge under way and leaves a complete `timer.json`. A line for the log if it could not.
    pub(super) fn finish(&mut self, unix_ms: u64) -> Option<String> {
        if self.is_merging {
            let merged = self.merged.recv().ok()?;
            // What failed just now is tried once more below.
            let _ = self.store.end_merge(merged);
            self.is_merging = false;
        }
        let outcome = self.store.finish(unix_ms);
        outcome
            .err()
            .map(|reason| format!("timers are left in their journal: {reason}"))
    }

    fn merge_ended(&mut self, outcome: Result<(), String>, now: Instant) -> Option<String> {
        match outcome {
            Ok(()) => {
                self.is_merge_failing = false;
                if self.store.is_behind() && self.merge_at.is_none() {
                    self.merge_at = Some(quiet_end(now));
                }
                None
            }
            Err(reason) => {
                self.merge_at = Some(now + Duration::from_millis(MERGE_RETRY_MS));
                let is_first = !std::mem::replace(&mut self.is_merge_failing, true);
                is_first.then(|| format!("timers stay in their journal for now: {reason}"))
            }
        }
    }
}

fn quiet_end(now: Instant) -> Instant {
    now + Duration::from_millis(MERGE_QUIET_MS)
}

/// Runs a merge in a short-lived thread, or here if there is none to be had.
fn run_beside<F: Files>(merge: Merge<F>) -> Receiver<Merged> {
    let (done, merged) = bounded(1);
    // Handed over once the thread is there: a closure that fails to become a thread is lost with all it holds.
    let (job, jobs) = bounded::<Merge<F>>(1);
    let outcome = {
        let done = done.clone();
        thread::Builder::new()
            .name("merge".to_owned())
            .spawn(move || {
                if let Ok(merge) = jobs.recv() {
                    let _ = done.send(merge.run());
                }
            })
    };
    match outcome {
        Ok(_) => {
            let _ = job.send(merge);
        }
        Err(_) => {
            let _ = done.send(merge.run());
        }
    }
    merged
}
