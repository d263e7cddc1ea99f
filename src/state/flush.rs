//! When queues are flushed: two lists of connections. Never decides what is queued.
//!
//! `express` (replies, pushes to few) is flushed whole each turn, `bulk` in slices. A reply joins
//! the list of the widest push it caused, at the end, so it leaves behind its receivers. What its
//! connection was to get before leaves earlier, for others' replies follow that.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::ids::ConnId;
use crate::limits::{BULK_BACKLOG_MAX, BULK_PER_TURN};
use crate::state::connection::{Flush, InputState, Phase};
use crate::state::server::{Server, live};

/// Who is flushed when. Entries are checked against the connection when their turn comes.
#[derive(Debug, Default)]
pub(super) struct FlushLists {
    express: VecDeque<(ConnId, u32)>,
    bulk: VecDeque<(ConnId, u32)>,
    seq: u32,
    /// What is known of entries, by slot and number, beyond that they flush the whole queue.
    held: BTreeMap<(u32, u32), Held>,
    /// Deliveries of wide pushes that wait to be flushed, at most.
    backlog: usize,
    /// Where the bulk list ended when the backlog became full: room is there once that is flushed.
    full_at: Option<u32>,
    /// Bulk entries that may still be flushed this turn.
    pub bulk_left: usize,
    /// A push delivered since the last reply.
    pub delivered: bool,
    /// Calls that wait until the bulk list is empty.
    pub waiting: VecDeque<ConnId>,
}

/// What becomes of an entry whose connection gets a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It holds a reply, and a message which others' replies follow.
    Awaited,
    /// A later entry of its connection flushes what is behind these bytes.
    UpTo(usize),
}

impl FlushLists {
    /// Whether wide pushes have to wait.
    pub fn is_full(&self) -> bool {
        self.full_at.is_some()
    }

    pub fn add_backlog(&mut self, deliveries: usize) {
        self.backlog += deliveries;
        if self.backlog >= BULK_BACKLOG_MAX && self.full_at.is_none() {
            // What is being enlisted comes behind this: one more round at most.
            self.full_at = Some(self.seq.wrapping_add(deliveries as u32));
        }
    }

    fn clear_backlog(&mut self) {
        (self.backlog, self.full_at) = (0, None);
    }

    /// Beside the reply that an entry holds there is a message.
    pub fn await_entry(&mut self, id: ConnId, seq: u32) {
        self.held.insert((id.key, seq), Held::Awaited);
    }

    /// Bytes that an entry flushes which has come up and has a later one.
    fn take_held(&mut self, id: ConnId, seq: u32) -> Option<usize> {
        if self.held.is_empty() {
            return None;
        }
        match self.held.remove(&(id.key, seq)) {
            Some(Held::UpTo(bytes)) if bytes > 0 => Some(bytes),
            _ => None,
        }
    }

    /// A connection's queue became shorter by `written` bytes.
    fn advance_held(&mut self, id: ConnId, written: usize) {
        if self.held.is_empty() {
            return;
        }
        for (_, held) in self.held.range_mut((id.key, 0)..=(id.key, u32::MAX)) {
            if let Held::UpTo(bytes) = held {
                *bytes = bytes.saturating_sub(written);
            }
        }
    }

    /// Whether something is to be flushed in this turn or the next.
    pub fn is_idle(&self) -> bool {
        self.express.is_empty() && self.bulk.is_empty()
    }
}

impl<S> Server<S> {
    /// Queues a reply and places it behind the receivers of what it answers.
    pub(super) fn send_reply(&mut self, id: ConnId, chunk: Bytes, wide: bool) {
        let place = match (wide, std::mem::take(&mut self.lists.delivered)) {
            (true, _) => Flush::BulkReply,
            (false, true) => Flush::ExpressReply,
            (false, false) => Flush::Express,
        };
        self.queue(id, chunk, place);
    }

    /// Queues what nobody waits for: it leaves with the bulk.
    pub(super) fn send_notice(&mut self, id: ConnId, chunk: Bytes) {
        self.queue(id, chunk, Flush::Bulk);
    }

    fn queue(&mut self, id: ConnId, chunk: Bytes, place: Flush) {
        let Some(conn) = live(&mut self.conns, id).filter(|conn| conn.input != InputState::Lost)
        else {
            return;
        };
        let (before, ahead_bytes) = (conn.outbound.cost(), conn.outbound.bytes());
        conn.outbound.push(chunk, &mut self.spares);
        self.queued_bytes += conn.outbound.cost() - before;
        self.enlist(id, place, ahead_bytes);
    }

    /// Puts a connection on a flush list, keeping the promises of the list it is on; `ahead_bytes`:
    /// what its queue held before a reply.
    pub(super) fn enlist(&mut self, id: ConnId, place: Flush, ahead_bytes: usize) {
        let bulk_is_empty = self.lists.bulk.is_empty();
        let Some(conn) = self.conns.get_mut(id.key as usize) else {
            return;
        };
        // A reply that follows its receivers keeps its place even where the socket is full now.
        if conn.blocked && place != Flush::BulkReply {
            return;
        }
        let place = match place {
            // Its receivers have all been flushed already.
            Flush::BulkReply if bulk_is_empty => Flush::ExpressReply,
            place => place,
        };
        let own = Some(&(id, conn.flush_seq));
        let list = match (conn.flush, place) {
            (Flush::Idle | Flush::Bulk, Flush::Express | Flush::ExpressReply) => {
                &mut self.lists.express
            }
            (Flush::Idle, Flush::Bulk) => &mut self.lists.bulk,
            // Its receivers may have been enlisted behind it, and others' replies behind that.
            (Flush::Express | Flush::ExpressReply, Flush::ExpressReply)
                if self.lists.express.back() != own =>
            {
                &mut self.lists.express
            }
            (_, Flush::BulkReply) if self.lists.bulk.back() == own => {
                // The push that brought what is ahead may not be answered yet.
                if !conn.flush.holds_reply() {
                    self.lists.await_entry(id, conn.flush_seq);
                }
                conn.flush = place;
                return;
            }
            (_, Flush::BulkReply) => &mut self.lists.bulk,
            _ => return,
        };
        let keeps_place = match conn.flush {
            Flush::Idle => false,
            // The whole queue leaves earlier than it would have.
            Flush::Bulk if place != Flush::BulkReply => false,
            Flush::Express | Flush::Bulk => true,
            Flush::ExpressReply | Flush::BulkReply => {
                self.lists.held.contains_key(&(id.key, conn.flush_seq))
            }
        };
        if keeps_place && ahead_bytes > 0 {
            let entry = (id.key, conn.flush_seq);
            self.lists.held.insert(entry, Held::UpTo(ahead_bytes));
        }
        self.lists.seq = self.lists.seq.wrapping_add(1);
        conn.flush = place;
        conn.flush_seq = self.lists.seq;
        list.push_back((id, self.lists.seq));
    }

    /// The next connection to flush this turn, and how many bytes at most.
    pub(super) fn poll_transmit(&mut self) -> Option<(ConnId, usize)> {
        while let Some((id, seq)) = self.lists.express.pop_front() {
            if let Some(bytes_max) = self.take_place(id, seq) {
                return Some((id, bytes_max));
            }
        }
        while self.lists.bulk_left > 0 {
            let Some((id, seq)) = self.lists.bulk.pop_front() else {
                break;
            };
            if self
                .lists
                .full_at
                .is_some_and(|at| at.wrapping_sub(seq) as i32 <= 0)
            {
                self.lists.clear_backlog();
                self.resume.append(&mut self.lists.waiting);
            }
            if let Some(bytes_max) = self.take_place(id, seq) {
                self.lists.bulk_left -= 1;
                return Some((id, bytes_max));
            }
        }
        if self.lists.bulk.is_empty() {
            self.lists.clear_backlog();
            // Asked first, for most turns end here.
            if !self.lists.waiting.is_empty() {
                self.resume.append(&mut self.lists.waiting);
            }
        }
        None
    }

    /// What an entry that has come up flushes: all that waits, or what was there before a reply that has a later one.
    fn take_place(&mut self, id: ConnId, seq: u32) -> Option<usize> {
        let held = self.lists.take_held(id, seq);
        let conn = self.conn_mut(id)?;
        if conn.flush == Flush::Idle || conn.flush_seq != seq {
            return held.filter(|_| !conn.blocked);
        }
        conn.flush = Flush::Idle;
        Some(usize::MAX)
    }

    /// The socket took `written` bytes of a connection's queue.
    pub fn advance(&mut self, id: ConnId, written: usize) {
        let tick = self.tick();
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let before = conn.outbound.cost();
        conn.outbound.advance(written, &mut self.spares);
        let after = conn.outbound.cost();
        self.lists.advance_held(id, written);
        self.queued_bytes -= before - after;
        self.stats.sent_bytes += written as u64;
        if conn.input == InputState::Paused || !matches!(conn.phase, Phase::WebSocket(_)) {
            conn.heard = tick;
        }
        let low = self.settings.max_queue / 2;
        if conn.input == InputState::Paused && after <= low && (before > low || after == 0) {
            self.resume.push_back(id);
        }
        if after == 0 {
            self.drained(id);
        }
    }

    /// The socket takes no more for now.
    pub fn set_blocked(&mut self, id: ConnId) {
        if let Some(conn) = self.conn_mut(id) {
            conn.blocked = true;
        }
    }

    /// The socket takes more, but others have waited long enough.
    pub fn postpone(&mut self, id: ConnId) {
        self.enlist(id, Flush::Bulk, 0);
    }

    /// The socket takes bytes again.
    pub(super) fn handle_writable(&mut self, id: ConnId) {
        if let Some(conn) = self.conn_mut(id)
            && std::mem::take(&mut conn.blocked)
            && !conn.outbound.is_empty()
        {
            self.enlist(id, Flush::Express, 0);
        }
    }

    /// Gives the next turn its share of bulk flushing.
    pub(super) fn renew_bulk(&mut self) {
        self.lists.bulk_left = BULK_PER_TURN;
    }
}
