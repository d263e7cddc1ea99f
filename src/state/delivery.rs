//! Pushes, from selected members to queued bytes, and the two lists by which queues are
//! flushed. Count and order are fixed when a message enters a queue; only then is anything sent.
//!
//! `express` (replies, pushes to few) is flushed whole each turn, `bulk` in slices. A reply joins
//! the list of the widest push it caused, at the end, so it leaves behind its receivers. What its
//! connection was to get before leaves earlier, for others' replies follow that.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::Bytes;

use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::limits::{
    BULK_BACKLOG_MAX, BULK_PER_TURN, DEFLATE_BYTES_MAX, DEFLATE_BYTES_MIN, DEFLATE_BYTES_PER_WORK,
    EXPRESS_RECEIVERS_MAX, FLUSH_WORK,
};
use crate::proto::deflate::Deflate;
use crate::proto::websocket;
use crate::settings::FullQueue;
use crate::state::calls::Wait;
use crate::state::connection::{Flush, InputState, Phase};
use crate::state::console;
use crate::state::hub::Cursor;
use crate::state::server::{Server, live};
use crate::state::spec::Spec;

/// Who is flushed when. Entries are checked against the connection when their turn comes.
#[derive(Debug, Default)]
pub(super) struct FlushLists {
    express: VecDeque<(ConnId, u32)>,
    bulk: VecDeque<(ConnId, u32)>,
    seq: u32,
    /// By slot and number: entries that a later one of the same connection follows, and how many bytes still leave with
    /// each; 0: none follows yet, and behind the reply that it holds there is a message that others' replies follow.
    limits: BTreeMap<(u32, u32), usize>,
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

impl FlushLists {
    /// Whether wide pushes have to wait.
    fn is_full(&self) -> bool {
        self.full_at.is_some()
    }

    fn add_backlog(&mut self, deliveries: usize) {
        self.backlog += deliveries;
        if self.backlog >= BULK_BACKLOG_MAX && self.full_at.is_none() {
            // What is being enlisted comes behind this: one more round at most.
            self.full_at = Some(self.seq.wrapping_add(deliveries as u32));
        }
    }

    fn clear_backlog(&mut self) {
        (self.backlog, self.full_at) = (0, None);
    }

    /// A message is behind the reply that an entry holds.
    fn await_entry(&mut self, id: ConnId, seq: u32) {
        self.limits.insert((id.key, seq), 0);
    }

    /// How many bytes an entry that has come up, and has a later one, flushes.
    fn take_limit(&mut self, id: ConnId, seq: u32) -> Option<usize> {
        if self.limits.is_empty() {
            return None;
        }
        self.limits.remove(&(id.key, seq)).filter(|&left| left > 0)
    }

    /// A connection's queue became shorter by `written` bytes.
    fn advance_limits(&mut self, id: ConnId, written: usize) {
        if !self.limits.is_empty() {
            for left in self.limits.range_mut((id.key, 0)..=(id.key, u32::MAX)) {
                *left.1 = left.1.saturating_sub(written);
            }
        }
    }

    /// Whether something is to be flushed in this turn or the next.
    pub fn is_idle(&self) -> bool {
        self.express.is_empty() && self.bulk.is_empty()
    }
}

/// A message on its way: encoded when the first receiver needs it, once for all.
#[derive(Debug)]
pub(super) struct Notice<'m> {
    pub text: Cow<'m, str>,
    plain: Option<Bytes>,
    /// Outer `None`: not tried yet; inner: not smaller.
    compressed: Option<Option<Bytes>>,
}

impl<'m> Notice<'m> {
    pub fn new(text: Cow<'m, str>) -> Self {
        Notice {
            text,
            plain: None,
            compressed: None,
        }
    }

    pub fn frame(&mut self, deflate: Option<&mut Deflate>) -> Bytes {
        let fits = (DEFLATE_BYTES_MIN..=DEFLATE_BYTES_MAX).contains(&self.text.len());
        if let Some(deflate) = deflate.filter(|_| fits) {
            let compressed = self.compressed.get_or_insert_with(|| {
                let smaller = deflate.compress(self.text.as_bytes())?;
                Some(websocket::compressed_text_frame(&smaller))
            });
            if let Some(frame) = compressed {
                return frame.clone();
            }
        }
        self.plain
            .get_or_insert_with(|| websocket::text_frame(self.text.as_bytes()))
            .clone()
    }
}

/// A push that is being made; resumable, for a list of patterns may be long and queues may have
/// to be flushed in between.
#[derive(Debug, Default)]
pub(super) struct PushState {
    cursor: Cursor,
    /// Whether it had to wait for the bulk list before.
    is_wide: bool,
    /// Whether all patterns have been looked at.
    selected_all: bool,
    /// Selected and not yet served, and when they had joined.
    pending: VecDeque<(ConnId, u32)>,
    /// Receivers so far, once the selection took more than one slice.
    taken: Option<HashSet<ConnId>>,
    count: u64,
}

impl PushState {
    /// One whose receivers are known: who, and when they had joined.
    pub fn selected(receivers: impl IntoIterator<Item = (ConnId, u32)>) -> Self {
        PushState {
            selected_all: true,
            pending: receivers.into_iter().collect(),
            ..PushState::default()
        }
    }
}

/// What became of a message for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Taken,
    /// Its queue is full, or it is gone.
    Refused,
    /// Its queue is full only because it was not flushed yet.
    Later(Wait),
}

impl<S> Server<S> {
    /// Goes on with a push until it is done (`Ok(Ok(count))`) or this turn has done enough.
    pub(super) fn push(
        &mut self,
        app: &str,
        spec: &Spec<'_>,
        notice: &mut Notice<'_>,
        state: &mut PushState,
    ) -> Result<Result<u64, Wait>, CallError> {
        if app == console::APP {
            return Err(CallError::new(5, "app `_console` is the daemon's own"));
        }
        if let Some(wait) = self.deliver_pending(notice, state) {
            return Ok(Err(wait));
        }
        if state.selected_all {
            return Ok(Ok(state.count));
        }
        if self.share_left == 0 {
            return Ok(Err(Wait::Turn));
        }
        if state.is_wide && self.lists.is_full() {
            return Ok(Err(Wait::Bulk));
        }
        let mut selected = std::mem::take(&mut self.selected);
        let begun = state.cursor.clone();
        let mut budget = self.share_left;
        let outcome = self
            .hub
            .select(app, spec, &mut state.cursor, &mut budget, &mut selected);
        self.spend(self.share_left - budget);
        let progress = match outcome {
            Err(error) => Err(CallError::new(1, error.to_string())),
            Ok(_) if selected.len() > EXPRESS_RECEIVERS_MAX && self.lists.is_full() => {
                // Known to be wide, it is not selected again before there is room.
                state.is_wide = true;
                state.cursor = begun;
                Ok(Err(Wait::Bulk))
            }
            Ok(finished) => {
                state.selected_all = finished;
                Ok(match self.deliver_all(&mut selected, notice, state) {
                    Some(wait) => Err(wait),
                    None if finished => Ok(state.count),
                    None => Err(Wait::Turn),
                })
            }
        };
        selected.clear();
        self.selected = selected;
        progress
    }

    fn deliver_all(
        &mut self,
        selected: &mut Vec<u32>,
        notice: &mut Notice<'_>,
        state: &mut PushState,
    ) -> Option<Wait> {
        if !state.selected_all || state.taken.is_some() {
            let taken = state.taken.get_or_insert_default();
            selected.retain(|&key| self.id_of(key).is_some_and(|id| taken.insert(id)));
        }
        // A receiver that holds a reply in bulk must not be overtaken by this push's own reply.
        let wide = selected.len() > EXPRESS_RECEIVERS_MAX
            || selected.iter().any(|&key| {
                self.conns
                    .get(key as usize)
                    .is_some_and(|conn| conn.flush == Flush::BulkReply)
            });
        // Wide deliveries are bounded by the backlog, so that many of them leave in one write.
        if wide {
            self.lists.add_backlog(selected.len());
            self.wide = true;
        } else {
            self.spend(selected.len() as u32 * FLUSH_WORK);
        }
        for (at, &key) in selected.iter().enumerate() {
            match self.deliver(key, notice, wide) {
                Delivery::Taken => state.count += 1,
                Delivery::Refused => {}
                Delivery::Later(wait) => {
                    let rest = selected[at..].iter();
                    state.pending.extend(
                        rest.filter_map(|&key| Some((self.id_of(key)?, self.hub.joined(key)?))),
                    );
                    return Some(wait);
                }
            }
        }
        None
    }

    /// Serves receivers that had to be flushed first.
    fn deliver_pending(&mut self, notice: &mut Notice<'_>, state: &mut PushState) -> Option<Wait> {
        while let Some(&(id, joined)) = state.pending.front() {
            if self.share_left == 0 {
                return Some(Wait::Turn);
            }
            self.spend(FLUSH_WORK);
            // It may have moved, or have closed, since it was selected.
            if self.conn(id).is_some() && self.hub.joined(id.key) == Some(joined) {
                match self.deliver(id.key, notice, self.wide) {
                    Delivery::Taken => state.count += 1,
                    Delivery::Refused => {}
                    Delivery::Later(wait) => return Some(wait),
                }
            }
            state.pending.pop_front();
        }
        None
    }

    /// Puts a message into one member's queue.
    fn deliver(&mut self, key: u32, notice: &mut Notice<'_>, wide: bool) -> Delivery {
        let Some(conn) = self.conns.get_mut(key as usize) else {
            return Delivery::Refused;
        };
        let id = ConnId {
            key,
            generation: conn.generation,
        };
        match &conn.phase {
            Phase::WebSocket(ws) => {
                let deflate = ws.deflate.then_some(&mut self.deflate);
                if deflate.is_some() && notice.compressed.is_none() {
                    let work = (notice.text.len() / DEFLATE_BYTES_PER_WORK) as u32;
                    self.share_left = self.share_left.saturating_sub(work);
                }
                let frame = notice.frame(deflate);
                let before = conn.outbound.cost();
                let total_is_full = self.queued_bytes + frame.len() > self.settings.max_queue_total;
                if before > self.settings.max_queue && !conn.blocked {
                    let in_bulk = matches!(conn.flush, Flush::Bulk | Flush::BulkReply);
                    return Delivery::Later(if in_bulk { Wait::Bulk } else { Wait::Turn });
                }
                if total_is_full && !self.lists.is_idle() {
                    return Delivery::Later(Wait::Bulk);
                }
                if before > self.settings.max_queue || total_is_full {
                    self.refuse_delivery(id, before);
                    return Delivery::Refused;
                }
                conn.outbound.push(frame, &mut self.spares);
                self.queued_bytes += conn.outbound.cost() - before;
                if conn.flush.holds_reply() {
                    self.lists.await_entry(id, conn.flush_seq);
                }
                self.enlist(id, if wide { Flush::Bulk } else { Flush::Express }, 0);
                self.lists.delivered = true;
                self.stats.delivered += 1;
                Delivery::Taken
            }
            Phase::Poll(_) => {
                let text = std::mem::take(&mut notice.text);
                // A poll's answer is a delivery: it keeps its place.
                self.lists.delivered = false;
                self.answer_poll(id, &text, wide);
                notice.text = text;
                if let Some(conn) = self.conn(id).filter(|conn| conn.flush.holds_reply()) {
                    self.lists.await_entry(id, conn.flush_seq);
                }
                self.lists.delivered = true;
                self.stats.delivered += 1;
                Delivery::Taken
            }
            _ => Delivery::Refused,
        }
    }

    /// A slow receiver: closed, or by policy only this message is dropped. One whose own queue
    /// is empty is not slow; then the daemon's total is full and the message is dropped.
    fn refuse_delivery(&mut self, id: ConnId, queued: usize) {
        self.stats.dropped += 1;
        if self.settings.full_queue == FullQueue::Close && queued > 0 {
            self.stats.slow_closed += 1;
            // Later, for it may be the sender: a call that waits is kept by its connection.
            self.lose(id);
            self.lost.push(id);
        }
    }

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
        let (before, ahead) = (conn.outbound.cost(), conn.outbound.bytes());
        conn.outbound.push(chunk, &mut self.spares);
        self.queued_bytes += conn.outbound.cost() - before;
        self.enlist(id, place, ahead);
    }

    /// Puts a connection on a flush list, keeping the promises of the list it is on; `ahead`: bytes
    /// that its queue held before a reply.
    fn enlist(&mut self, id: ConnId, place: Flush, ahead: usize) {
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
                conn.flush = place;
                return;
            }
            (_, Flush::BulkReply) => &mut self.lists.bulk,
            _ => return,
        };
        let is_awaited = match conn.flush {
            Flush::Idle => false,
            // The whole queue leaves earlier than it would have.
            Flush::Bulk if place != Flush::BulkReply => false,
            Flush::Express | Flush::Bulk => true,
            Flush::ExpressReply | Flush::BulkReply => {
                self.lists.limits.contains_key(&(id.key, conn.flush_seq))
            }
        };
        if is_awaited && ahead > 0 {
            self.lists.limits.insert((id.key, conn.flush_seq), ahead);
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
        let limit = self.lists.take_limit(id, seq);
        let conn = self.conn_mut(id)?;
        if conn.flush == Flush::Idle || conn.flush_seq != seq {
            return limit;
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
        self.lists.advance_limits(id, written);
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
