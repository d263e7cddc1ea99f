//! Deadlines, pings and the ordered stop. Deadlines of connections are found by a rolling sweep
//! over the slab, not by an entry each; only long polls, which promise a time, are sorted.

use crate::ids::{ConnId, Now};
use crate::limits::{BODY_BYTES_PER_S_MIN, SWEEP_MS, SWEEP_PARTS, TICK_MS};
use crate::proto::websocket::ping_frame;
use crate::state::connection::{Connection, InputState, Phase};
use crate::state::server::Server;

/// Where the sweep is, and whether the daemon is stopping.
#[derive(Debug)]
pub(super) struct Sweep {
    next_ms: u64,
    /// The slab key at which the next part begins.
    at: usize,
    stop: Option<Stop>,
}

/// An ordered stop under way.
#[derive(Debug)]
struct Stop {
    /// Then what is left is cut.
    limit_ms: u64,
    /// Connections to close per sweep.
    pace: usize,
}

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// It sent nothing for too long, or reads nothing: no answer would reach it.
    Cut,
    /// A request that comes too slowly.
    Slow,
    Ping,
}

impl Sweep {
    pub fn new(now: Now) -> Self {
        Sweep {
            next_ms: now.mono_ms,
            at: 0,
            stop: None,
        }
    }
}

impl<S> Server<S> {
    /// Whether an ordered stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.sweep.stop.is_some()
    }

    /// Whether an ordered stop is complete.
    pub fn is_stopped(&self) -> bool {
        self.sweep
            .stop
            .as_ref()
            .is_some_and(|stop| self.is_empty() || self.now.mono_ms >= stop.limit_ms)
    }

    pub(super) fn next_sweep_ms(&self) -> Option<u64> {
        (!self.is_empty() || self.is_stopping()).then_some(self.sweep.next_ms)
    }

    /// Fires what is due: long polls, then one part of the sweep.
    pub(super) fn handle_deadlines(&mut self) {
        while let Some(&(due_ms, id)) = self.polls.first()
            && due_ms <= self.now.mono_ms
        {
            self.polls.remove(&(due_ms, id));
            self.answer_poll(id, "", false);
        }
        if self.now.mono_ms < self.sweep.next_ms {
            return;
        }
        self.sweep.next_ms = self.now.mono_ms + SWEEP_MS;
        let keys = self.conns.capacity();
        let end = (self.sweep.at + keys.div_ceil(SWEEP_PARTS)).min(keys);
        for key in self.sweep.at..end {
            if let Some(id) = self.id_of(key as u32) {
                self.check_deadline(id);
            }
        }
        self.sweep.at = if end >= keys { 0 } else { end };
        self.go_on_stopping();
        self.tend_console();
    }

    fn check_deadline(&mut self, id: ConnId) {
        let due = match self.conn(id) {
            Some(conn) => self.due(id, conn),
            None => return,
        };
        match due {
            Due::Nothing => {}
            Due::Cut => self.drop_connection(id),
            Due::Slow => self.refuse_slow(id),
            Due::Ping => {
                if let Some(Connection {
                    phase: Phase::WebSocket(ws),
                    ..
                }) = self.conn_mut(id)
                {
                    ws.pinged = true;
                }
                self.send_notice(id, ping_frame());
            }
        }
    }

    fn due(&self, id: ConnId, conn: &Connection<S>) -> Due {
        let settings = &self.settings;
        let tick = self.tick();
        let passed = |since: u32, limit_ms: u64| self.passed_ms(since) >= limit_ms;
        if conn.parked.is_some() {
            return Due::Nothing;
        }
        let takes_nothing = passed(conn.heard, settings.write_timeout_ms);
        match &conn.phase {
            Phase::WebSocket(_) if conn.input == InputState::Paused && takes_nothing => Due::Cut,
            Phase::WebSocket(_) => self.due_of_websocket(id, conn),
            _ if !conn.outbound.is_empty() && takes_nothing => Due::Cut,
            _ if !conn.outbound.is_empty() => Due::Nothing,
            Phase::Poll(_) => Due::Nothing,
            Phase::Lingering { until, .. } if tick > *until => Due::Cut,
            Phase::Lingering { .. } => Due::Nothing,
            Phase::Head { since, fresh, .. } if *fresh || !conn.carry.is_empty() => {
                if passed(*since, settings.head_timeout_ms) {
                    Due::Slow
                } else {
                    Due::Nothing
                }
            }
            Phase::Head { .. } if passed(conn.heard, settings.keepalive_timeout_ms) => Due::Cut,
            Phase::Head { .. } => Due::Nothing,
            Phase::Body(incoming) => {
                let earned_ms = incoming.body.len() as u64 * 1_000 / BODY_BYTES_PER_S_MIN;
                if passed(incoming.since, settings.body_timeout_ms + earned_ms) {
                    Due::Slow
                } else {
                    Due::Nothing
                }
            }
        }
    }

    fn due_of_websocket(&self, id: ConnId, conn: &Connection<S>) -> Due {
        let Phase::WebSocket(ws) = &conn.phase else {
            return Due::Nothing;
        };
        let settings = &self.settings;
        let passed = |since: u32, limit_ms: u64| self.passed_ms(since) >= limit_ms;
        if let Some(since) = ws.closing {
            return if passed(since, settings.close_timeout_ms) {
                Due::Cut
            } else {
                Due::Nothing
            };
        }
        let earned_ms = ws.decoder.held_bytes() as u64 * 1_000 / BODY_BYTES_PER_S_MIN;
        if ws
            .began
            .is_some_and(|began| passed(began, settings.body_timeout_ms + earned_ms))
        {
            return Due::Slow;
        }
        let interval_ms = spread(settings.ping_interval_ms, id);
        if interval_ms == 0 {
            Due::Nothing
        } else if ws.pinged && passed(conn.heard, interval_ms + settings.ping_timeout_ms) {
            Due::Cut
        } else if !ws.pinged && passed(conn.heard, interval_ms) {
            Due::Ping
        } else {
            Due::Nothing
        }
    }

    /// Time since a tick, ms.
    fn passed_ms(&self, since: u32) -> u64 {
        u64::from(self.tick().saturating_sub(since)) * TICK_MS
    }

    /// Begins an ordered stop: nothing new, then everyone out, paced.
    pub(super) fn stop(&mut self) {
        if self.is_stopping() {
            return;
        }
        self.log("stopping: connections are closed");
        let sweeps = (self.settings.shutdown_timeout_ms / 4 / SWEEP_MS).clamp(1, 20) as usize;
        let pace = self.len().div_ceil(sweeps).max(64);
        self.sweep.stop = Some(Stop {
            limit_ms: self.now.mono_ms + self.settings.shutdown_timeout_ms,
            pace,
        });
        self.sweep.next_ms = self.now.mono_ms;
        self.write_records();
        self.go_on_stopping();
    }

    /// Closes the next connections of an ordered stop: WebSockets with 1001, long polls with
    /// nothing, idle ones as they are. Calls under way are answered first.
    fn go_on_stopping(&mut self) {
        let Some(pace) = self.sweep.stop.as_ref().map(|stop| stop.pace) else {
            return;
        };
        let ids: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.parked.is_none() && !is_leaving(&conn.phase))
            .take(pace)
            .map(|(key, conn)| ConnId {
                key: key as u32,
                generation: conn.generation,
            })
            .collect();
        for id in ids {
            match self.conn(id).map(|conn| &conn.phase) {
                Some(Phase::WebSocket(_)) => self.close_websocket(id, 1001, "server is stopping"),
                Some(Phase::Poll(_)) => {
                    self.answer_poll(id, "", false);
                    self.linger(id);
                }
                _ => self.linger(id),
            }
        }
    }
}

/// Whether a connection needs no more telling that the end has come, or is about to ask something.
fn is_leaving(phase: &Phase) -> bool {
    match phase {
        Phase::Lingering { .. } | Phase::Body(_) => true,
        Phase::WebSocket(ws) => ws.closing.is_some(),
        Phase::Head { .. } | Phase::Poll(_) => false,
    }
}

/// A fifth more or less by connection, so that pings do not come in waves.
fn spread(interval_ms: u64, id: ConnId) -> u64 {
    interval_ms * (80 + u64::from(id.generation % 41)) / 100
}
