//! How connections end: their peer's last byte, a broken socket, an answer that is the last one,
//! too much unfinished input. Each way ends in [`Server::drop_connection`], which counts out.

use crate::ids::ConnId;
use crate::limits::{HELD_BYTES_MAX, LINGER_BYTES_MAX, LINGER_MS_MAX, TICK_MS};
use crate::state::access::Access;
use crate::state::connection::{Connection, InputState, Phase};
use crate::state::server::{Output, Server, live, log_name};

impl<S> Server<S> {
    /// Input behind an error answer: read so that the answer is not destroyed by a reset.
    pub(super) fn discard(&mut self, id: ConnId, bytes: usize) -> usize {
        if let Some(Connection {
            phase: Phase::Lingering { left, .. },
            ..
        }) = self.conn_mut(id)
        {
            *left = left.saturating_sub(bytes as u32);
            if *left == 0 {
                self.drop_connection(id);
            }
        }
        bytes
    }

    pub(super) fn handle_end(&mut self, id: ConnId) {
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        // What a WebSocket sent before its end is still done; then it ends.
        let has_more = conn.parked.is_some() || !conn.carry.is_empty();
        match conn.phase {
            Phase::WebSocket(_) if has_more => {}
            Phase::WebSocket(_) => return self.handle_lost(id),
            Phase::Poll(_) if !has_more => return self.handle_lost(id),
            _ => {}
        }
        conn.input = InputState::Ended;
        self.end_poll(id);
        self.process_carry(id);
        self.account_held(id);
        self.settle_end(id);
    }

    /// Closes a connection whose peer sent its last byte once nothing is left to answer.
    pub(super) fn settle_end(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else {
            return;
        };
        if conn.parked.is_some() || matches!(conn.input, InputState::Open | InputState::Paused) {
            return;
        }
        if matches!(conn.phase, Phase::Poll(_))
            || conn.input == InputState::Lost
            || conn.outbound.is_empty()
        {
            self.drop_connection(id);
        } else {
            self.linger(id);
        }
    }

    /// The connection broke: it leaves the hub at once; a call under way still runs.
    pub(super) fn handle_lost(&mut self, id: ConnId) {
        self.lose(id);
        self.settle_end(id);
    }

    /// The same while a call of its own may be under way: it is still to be settled.
    pub(super) fn lose(&mut self, id: ConnId) {
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        conn.input = InputState::Lost;
        let is_websocket = matches!(conn.phase, Phase::WebSocket(_));
        if is_websocket {
            conn.carry = Vec::new();
        }
        self.queued_bytes -= conn.outbound.cost();
        conn.outbound.clear(&mut self.spares);
        self.leave_hub(id);
        if !is_websocket {
            self.end_poll(id);
            // Complete requests run even if their sender is gone.
            self.process_carry(id);
        }
        self.account_held(id);
    }

    /// A poll whose peer sends nothing more is over, the calls behind it are not.
    fn end_poll(&mut self, id: ConnId) {
        let calls_behind = |conn: &Connection<S>| conn.is_polling() && !conn.carry.is_empty();
        if self.conn(id).is_some_and(calls_behind) {
            self.answer_poll(id, "", false);
        }
    }

    /// Closes those that were lost while something else was done.
    pub(super) fn settle_lost(&mut self) {
        while let Some(id) = self.lost.pop() {
            self.settle_end(id);
        }
    }

    /// Answers nothing more: sends what waits, then reads and discards for a moment.
    pub(super) fn linger(&mut self, id: ConnId) {
        let until = self.tick() + (LINGER_MS_MAX / TICK_MS) as u32;
        self.leave_hub(id);
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        conn.carry = Vec::new();
        conn.phase = Phase::Lingering {
            left: LINGER_BYTES_MAX,
            until,
            shut: false,
        };
        if conn.input == InputState::Paused {
            conn.input = InputState::Open;
        }
        let is_drained = conn.outbound.is_empty();
        self.account_held(id);
        if is_drained {
            self.drained(id);
        }
    }

    /// A queue ran empty: the time to close what only waited for that.
    pub(super) fn drained(&mut self, id: ConnId) {
        let until = self.tick() + (LINGER_MS_MAX / TICK_MS) as u32;
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        let ended = matches!(conn.input, InputState::Ended | InputState::Lost);
        if let Phase::Lingering {
            shut, until: limit, ..
        } = &mut conn.phase
        {
            if ended {
                self.drop_connection(id);
            } else if !*shut {
                (*shut, *limit) = (true, until);
                self.output(Output::Shutdown(id));
            }
        }
    }

    /// Takes a connection out of everything.
    pub(super) fn drop_connection(&mut self, id: ConnId) {
        self.leave_hub(id);
        if self.conn(id).is_none() {
            return;
        }
        let mut conn = self.conns.remove(id.key as usize);
        self.held_bytes -= conn.held as usize;
        self.surplus -= usize::from(conn.access == Access::Surplus);
        self.queued_bytes -= conn.outbound.cost();
        conn.outbound.clear(&mut self.spares);
        self.peers.leave(conn.peer);
        self.stats.closed += 1;
        self.output(Output::Close(conn.io));
    }

    /// Takes a connection out of the hub, if it is there, and logs that.
    pub(super) fn leave_hub(&mut self, id: ConnId) {
        if self.conn(id).is_none() {
            return;
        }
        self.tell_close(id);
        if let Some((app, user)) = self.hub.member(id.key) {
            let text = format!(
                "[app {}] del user: {} #{}",
                log_name(app),
                log_name(user),
                id.generation
            );
            if matches!(
                self.conn(id).map(|conn| &conn.phase),
                Some(Phase::WebSocket(_))
            ) {
                self.console.note("-", app, user, id);
            }
            self.log(&text);
            self.hub.leave(id.key);
        }
        let due = match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::Poll(poll)) => poll.due_ms,
            _ => None,
        };
        if let Some(due_ms) = due {
            self.polls.remove(&(due_ms, id));
        }
    }

    /// Keeps the sum of unfinished input; where it is too much, whoever holds most is refused.
    pub(super) fn account_held(&mut self, id: ConnId) {
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let after = u32::try_from(conn.held_bytes()).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut conn.held, after);
        self.held_bytes = self.held_bytes + after as usize - before as usize;
        if self.held_bytes > HELD_BYTES_MAX {
            self.evict_holder();
        }
    }

    /// Refuses the connection that holds most unfinished input, except those whose call is under
    /// way: their input is used soon.
    pub(super) fn evict_holder(&mut self) {
        let most = self
            .conns
            .iter()
            .filter(|(_, conn)| {
                conn.parked.is_none() && !matches!(conn.phase, Phase::Lingering { .. })
            })
            .max_by_key(|(_, conn)| conn.held)
            .map(|(key, conn)| ConnId {
                key: key as u32,
                generation: conn.generation,
            });
        if let Some(id) = most {
            self.refuse_input(id);
        }
    }
}
