//! How things stood over the last hour: one row for every ten seconds, for charts. Bounded, and without a clock of its
//! own: while nothing happens nobody is woken, for then there is nothing to tell; the rows are made up for later.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::call::answer::Data;
use crate::ids::Now;
use crate::limits::{HISTORY_MS, HISTORY_ROWS_MAX};
use crate::state::server::Server;

/// Names of a row's values. Of counters, a row has what was counted in its ten seconds; `t` is their end, Unix s.
const NAMES: [&str; COLUMNS + 1] = [
    "t",
    "connections",
    "users",
    "queued_bytes",
    "timers_pending",
    "requests",
    "messages",
    "delivered",
    "dropped",
    "received_bytes",
    "sent_bytes",
    "timers_fired",
    "timers_failed",
];
const COLUMNS: usize = GAUGES + COUNTERS;
const GAUGES: usize = 4;
const COUNTERS: usize = 8;

/// What is read for a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub gauges: [u64; GAUGES],
    /// Since the start.
    pub counters: [u64; COUNTERS],
}

/// One row of the last hour.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    unix_s: u64,
    gauges: [u64; GAUGES],
    /// In these ten seconds.
    counted: [u64; COUNTERS],
}

/// The last hour.
#[derive(Debug)]
pub(super) struct History {
    rows: VecDeque<Row>,
    /// When the next row ends, monotonic ms.
    next_ms: u64,
    counters: [u64; COUNTERS],
}

impl History {
    /// Without rows; the first one ends ten seconds from now.
    pub fn new(now: Now) -> Self {
        History {
            rows: VecDeque::new(),
            next_ms: now.mono_ms + HISTORY_MS,
            counters: [0; COUNTERS],
        }
    }

    /// Whether a row has ended.
    pub fn is_due(&self, now: Now) -> bool {
        self.next_ms <= now.mono_ms
    }

    /// Makes the rows that have ended. What was counted goes into the first of them: behind that nobody was awake.
    pub fn advance(&mut self, now: Now, reading: &Reading) {
        let hour_ms = HISTORY_MS * HISTORY_ROWS_MAX as u64;
        if now.mono_ms >= self.next_ms + hour_ms {
            let skipped = (now.mono_ms - self.next_ms - hour_ms) / HISTORY_MS;
            self.next_ms += skipped * HISTORY_MS;
        }
        while self.is_due(now) {
            let before = std::mem::replace(&mut self.counters, reading.counters);
            let since_ms = now.mono_ms - self.next_ms;
            self.rows.push_back(Row {
                unix_s: now.unix_ms.saturating_sub(since_ms) / 1_000,
                gauges: reading.gauges,
                counted: std::array::from_fn(|at| reading.counters[at].saturating_sub(before[at])),
            });
            if self.rows.len() > HISTORY_ROWS_MAX {
                self.rows.pop_front();
            }
            self.next_ms += HISTORY_MS;
        }
    }

    /// All rows, the oldest first: `{interval, h: names, d: rows}`.
    pub fn to_value(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_value).collect();
        json!({"interval": HISTORY_MS / 1_000, "h": NAMES, "d": rows})
    }

    /// The newest row.
    pub fn last(&self) -> Option<Value> {
        self.rows.back().map(Row::to_value)
    }
}

impl Row {
    fn to_value(&self) -> Value {
        [self.unix_s]
            .iter()
            .chain(&self.gauges)
            .chain(&self.counted)
            .map(|&number| Value::from(number))
            .collect()
    }
}

impl<S> Server<S> {
    /// Makes the rows of the last hour that are due, before anything else happens in this turn.
    pub(super) fn tend_history(&mut self) {
        if !self.history.is_due(self.now) {
            return;
        }
        let (stats, timers) = (&self.stats, &self.stats.timers);
        let reading = Reading {
            gauges: [
                self.conns.len() as u64,
                self.hub.len() as u64,
                self.queued_bytes as u64,
                timers.pending as u64,
            ],
            counters: [
                stats.requests,
                stats.messages,
                stats.delivered,
                stats.dropped,
                stats.received_bytes,
                stats.sent_bytes,
                timers.fired,
                timers.failed,
            ],
        };
        self.history.advance(self.now, &reading);
        self.console.has_row = true;
    }

    /// The answer of `statHistory`.
    pub(super) fn stat_history(&mut self) -> Data {
        self.spend((self.history.rows.len() * ROW_WORK) as u32);
        Data::Json(self.history.to_value())
    }
}

/// Work of telling one row.
const ROW_WORK: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now {
            mono_ms,
            unix_ms: 1_000_000_000 + mono_ms,
        }
    }

    fn reading(gauge: u64, counter: u64) -> Reading {
        Reading {
            gauges: [gauge; GAUGES],
            counters: [counter; COUNTERS],
        }
    }

    /// Seconds since the start, a gauge and a counter of every row.
    fn rows(history: &History) -> Vec<(u64, u64, u64)> {
        let row = |row: &Row| {
            (
                row.unix_s - 1_000_000,
                row.gauges[0],
                row.counted[COUNTERS - 1],
            )
        };
        history.rows.iter().map(row).collect()
    }

    #[test]
    fn a_row_tells_ten_seconds() {
        let mut history = History::new(at(500));
        assert!(!history.is_due(at(10_499)));
        history.advance(at(10_499), &reading(1, 1));
        assert_eq!(rows(&history), []);
        assert!(history.is_due(at(10_500)));
        history.advance(at(10_700), &reading(2, 5));
        assert_eq!(rows(&history), [(10, 2, 5)]);
        history.advance(at(20_500), &reading(3, 6));
        assert_eq!(rows(&history), [(10, 2, 5), (20, 3, 1)]);
    }

    #[test]
    fn what_was_slept_through_is_made_up_for() {
        let mut history = History::new(at(0));
        history.advance(at(10_000), &reading(1, 7));
        history.advance(at(41_000), &reading(1, 9));
        assert_eq!(
            rows(&history),
            [(10, 1, 7), (20, 1, 2), (30, 1, 0), (40, 1, 0)]
        );
    }

    #[test]
    fn an_hour_is_kept_and_a_long_sleep_costs_no_more() {
        let mut history = History::new(at(0));
        history.advance(at(10_000), &reading(1, 1));
        let long = 400 * 24 * 3_600_000 + 3_000;
        history.advance(at(long), &reading(2, 2));
        let rows = rows(&history);
        assert_eq!(rows.len(), HISTORY_ROWS_MAX);
        assert_eq!(rows[HISTORY_ROWS_MAX - 1].0, long / 1_000 - 3);
        assert_eq!(rows[1].0, rows[0].0 + 10);
        assert!(!history.is_due(at(long)));
        assert_eq!(
            history.last(),
            history.to_value()["d"]
                .as_array()
                .and_then(|rows| rows.last().cloned())
        );
    }

    #[test]
    fn names_and_values_agree() {
        let mut history = History::new(at(0));
        history.advance(at(10_000), &reading(4, 6));
        let told = history.to_value();
        assert_eq!(told["h"].as_array().map(Vec::len), Some(COLUMNS + 1));
        assert_eq!(
            told["d"][0],
            json!([1_000_010, 4, 4, 4, 4, 6, 6, 6, 6, 6, 6, 6, 6])
        );
    }
}
