//! Changes that are stored: each is visible at once and leaves an undo record; a call is answered and a timer
//! begins when its record is on disk. What the disk refuses is undone in reverse.

use crate::call::answer::Answer;
use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::limits::{FINISH_RETRY_MS, FREED_PER_TURN};
use crate::message::{TimerChange, TimerRecord};
use crate::state::timer_queue::TimerQueue;
use crate::state::timers::book::{Finished, Kept, Shelf};
use crate::state::timers::machine::{Timers, TimersOutput, new_queue};

/// A change under way to the disk.
#[derive(Debug)]
pub struct Op {
    /// Of its record.
    seq: u64,
    /// Who waits for it, and the answer if the disk takes it.
    reply: Option<(ConnId, Answer)>,
    undo: Undo,
}

#[derive(Debug)]
enum Undo {
    /// Nobody sees it, or it does not matter.
    Nothing,
    /// How one timer was before, among those that are kept and those that failed.
    Timer {
        id: i64,
        kept: Option<Box<Kept>>,
        failed: Option<Box<str>>,
    },
    /// All periodic timers that were there.
    Cleared(Box<Cleared>),
}

/// Periodic timers as they were, and when each was due.
#[derive(Debug)]
struct Cleared {
    shelf: Shelf,
    ticks: TimerQueue,
    wall: TimerQueue,
    /// Those that the disk had still to take.
    pending: Vec<i64>,
    new_times: u32,
}

impl Timers {
    /// Puts a timer in place of the one with its id. It begins when that is on disk.
    pub(super) fn put(&mut self, mut kept: Box<Kept>, reply: Option<(ConnId, Answer)>) {
        let (id, record) = (kept.id, kept.record());
        kept.pending = Some(self.next_seq);
        self.unschedule(id);
        let undo = Undo::Timer {
            id,
            kept: self.book.insert(kept),
            failed: self.failed.remove(&id),
        };
        let change = TimerChange::Put { id, json: record };
        self.record(change, reply, undo);
    }

    /// Takes a timer out.
    pub(super) fn delete(&mut self, id: i64, reply: Option<(ConnId, Answer)>) {
        self.unschedule(id);
        let undo = Undo::Timer {
            id,
            kept: self.book.remove(id),
            failed: self.failed.remove(&id),
        };
        self.record(TimerChange::Del { id }, reply, undo);
    }

    /// Takes all periodic timers out.
    pub(super) fn clear(&mut self, reply: (ConnId, Answer)) {
        let shelf = self.book.take_periodic();
        let is_pending = |id: &i64| shelf.get(*id).is_some_and(|kept| kept.pending.is_some());
        let changed = self.ops.iter().filter_map(|op| match op.undo {
            Undo::Timer { id, .. } => Some(id),
            _ => None,
        });
        let cleared = Box::new(Cleared {
            pending: changed.filter(is_pending).collect(),
            shelf,
            ticks: std::mem::replace(&mut self.ticks, new_queue()),
            wall: std::mem::replace(&mut self.wall, new_queue()),
            new_times: self.new_times,
        });
        self.record(TimerChange::Clear, Some(reply), Undo::Cleared(cleared));
    }

    /// Frees what was cleared, a turn's share: each timer is some blocks of memory.
    pub(super) fn free_cleared(&mut self) {
        if let Some(shelf) = self.cleared.last_mut()
            && shelf.free(FREED_PER_TURN)
        {
            self.cleared.pop();
        }
    }

    /// Nothing has come since that is still there: it was undone first.
    fn restore_cleared(&mut self, cleared: Cleared) {
        self.book.put_back(cleared.shelf);
        (self.ticks, self.wall) = (cleared.ticks, cleared.wall);
        for id in cleared.pending {
            if let Some(kept) = self.book.get_mut(id)
                && kept.pending.is_some_and(|seq| seq <= self.committed)
            {
                kept.pending = None;
                self.begin(id, false);
            }
        }
        if cleared.new_times != self.new_times {
            self.take_new_time();
        }
    }

    /// A persistent one-shot is over: it goes, or goes to the failed ones. Its time is up either way.
    pub(super) fn finish(&mut self, id: i64, finished: Finished) {
        let Some(kept) = self.book.get_mut(id) else {
            return;
        };
        kept.finished = Some(finished.clone());
        let Finished::Failed(reason) = finished else {
            return self.delete(id, None);
        };
        let record = self.failed_record(id, &reason);
        self.unschedule(id);
        let undo = Undo::Timer {
            id,
            kept: self.book.remove(id),
            failed: self.failed.insert(id, record.clone()),
        };
        self.record(TimerChange::Fail { id, json: record }, None, undo);
        while self.failed.len() > crate::limits::FAILED_TIMERS_MAX {
            // Ids count down: the oldest one is the greatest.
            let Some((&oldest, _)) = self.failed.last_key_value() else {
                break;
            };
            self.delete(oldest, None);
        }
    }

    /// Stores what a run changed; nobody waits for it, and it is not undone.
    pub(super) fn store_progress(&mut self, id: i64) {
        if let Some(kept) = self.book.get(id) {
            let json = kept.record();
            self.record(TimerChange::Put { id, json }, None, Undo::Nothing);
        }
    }

    pub(super) fn handle_committed(&mut self, seq: u64) {
        self.committed = self.committed.max(seq);
        while self.ops.front().is_some_and(|op| op.seq <= seq) {
            let Some(op) = self.ops.pop_front() else {
                break;
            };
            if let Undo::Timer { id, .. } = op.undo
                && let Some(kept) = self.book.get_mut(id)
                && kept.pending == Some(op.seq)
            {
                kept.pending = None;
                self.begin(id, false);
            }
            if let Undo::Cleared(cleared) = op.undo {
                self.cleared.push(cleared.shelf);
            }
            if let Some((to, answer)) = op.reply {
                self.reply(to, answer);
            }
        }
    }

    pub(super) fn handle_refused(&mut self, seq: u64, reason: &str) {
        self.counters.refused += self.next_seq.saturating_sub(seq);
        let mut replies = Vec::new();
        while self.ops.back().is_some_and(|op| op.seq >= seq) {
            let Some(op) = self.ops.pop_back() else {
                break;
            };
            self.undo(op.undo);
            replies.extend(op.reply);
        }
        // These were undone before they left; what has left is told by its generation.
        self.outputs
            .retain(|output| !matches!(output, TimersOutput::Record(record) if record.seq >= seq));
        self.generation += 1;
        for (to, _) in replies.into_iter().rev() {
            self.reply(to, Err(CallError::new(4, reason.to_owned())));
        }
    }

    fn record(&mut self, change: TimerChange, reply: Option<(ConnId, Answer)>, undo: Undo) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.output(TimersOutput::Record(TimerRecord {
            seq,
            generation: self.generation,
            change,
        }));
        self.ops.push_back(Op { seq, reply, undo });
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Timer { id, kept, failed } => {
                self.unschedule(id);
                self.book.remove(id);
                match failed {
                    Some(json) => self.failed.insert(id, json),
                    None => self.failed.remove(&id),
                };
                if let Some(kept) = kept {
                    self.restore(kept);
                }
            }
            Undo::Cleared(cleared) => self.restore_cleared(*cleared),
        }
    }

    fn restore(&mut self, mut kept: Box<Kept>) {
        let id = kept.id;
        let stored_meanwhile = kept.pending.is_some_and(|seq| seq <= self.committed);
        if stored_meanwhile {
            kept.pending = None;
        }
        let (is_pending, is_finished) = (kept.pending.is_some(), kept.finished.is_some());
        self.book.insert(kept);
        if is_finished {
            // It ran: what is tried again is to tell the disk.
            let _ = self.queue.add(id, self.now.mono_ms + FINISH_RETRY_MS);
        } else if stored_meanwhile {
            self.begin(id, false);
        } else if !is_pending {
            self.resume(id);
        }
    }
}
