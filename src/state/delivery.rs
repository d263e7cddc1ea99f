//! Pushes, from selected members to queued bytes. Count and order are fixed when a message enters a
//! queue; [`super::flush`] says when it leaves.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::limits::{
    DEFLATE_BYTES_MAX, DEFLATE_BYTES_MIN, DEFLATE_BYTES_PER_WORK, EXPRESS_RECEIVERS_MAX, FLUSH_WORK,
};
use crate::proto::deflate::Deflate;
use crate::proto::websocket;
use crate::settings::FullQueue;
use crate::state::calls::Wait;
use crate::state::connection::{Flush, Phase};
use crate::state::console;
use crate::state::hub::Cursor;
use crate::state::server::Server;
use crate::state::spec::Spec;

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
            let flush = self.conn(id).map(|conn| conn.flush);
            if flush.is_some() && self.hub.joined(id.key) == Some(joined) {
                // It may hold a reply in bulk by now: see `deliver_all`.
                self.wide |= flush == Some(Flush::BulkReply);
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
}
