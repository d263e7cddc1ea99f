//! Counters, and `stat`, which shows them under Swoole's names where those mean something.

use serde_json::{Map, Value};

use crate::call::answer::Data;
use crate::ids::Now;
use crate::message::{LATENESS_MS, TimerCounters};
use crate::state::server::Server;

/// What was counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    start_unix_s: u64,
    start_text: String,
    /// Connections taken.
    pub accepted: u64,
    /// Connections closed.
    pub closed: u64,
    /// Connections refused: too many.
    pub refused: u64,
    /// Complete requests.
    pub requests: u64,
    /// Requests refused for how they were made.
    pub requests_refused: u64,
    /// Responses.
    pub responses: u64,
    /// Calls that failed.
    pub calls_failed: u64,
    /// Upgrades to WebSocket.
    pub upgrades: u64,
    /// Messages received over WebSocket.
    pub messages: u64,
    /// Messages put into a receiver's queue.
    pub delivered: u64,
    /// Messages that a full queue did not take.
    pub dropped: u64,
    /// Connections closed because their queue was full.
    pub slow_closed: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Log lines that found the log queue full.
    pub log_dropped: u64,
    /// Events that plugins were told of.
    pub plugin_events: u64,
    /// Events that they missed: too many were under way.
    pub plugin_dropped: u64,
    /// Calls that are missing in ApiLog: too many waited, or the database took none.
    pub api_log_dropped: u64,
    /// What the timer thread told last.
    pub timers: TimerCounters,
}

impl Stats {
    /// All zero; `start_text` is the start in local time.
    pub fn new(now: Now, start_text: &str) -> Self {
        Stats {
            start_unix_s: now.unix_ms / 1_000,
            start_text: start_text.to_owned(),
            ..Stats::default()
        }
    }

    /// The start, Unix s.
    pub fn start_unix_s(&self) -> u64 {
        self.start_unix_s
    }
}

impl<S> Server<S> {
    /// The answer of `stat`.
    pub(super) fn stat(&mut self) -> Data {
        let waiting = self.count_waiting();
        Data::Json(Value::Object(self.stat_values(Some(waiting))))
    }

    /// What `stat` shows; without `waiting`, whose counting is a walk over all connections, that is missing.
    pub(super) fn stat_values(&mut self, waiting: Option<usize>) -> Map<String, Value> {
        let present = self.log_time.text(self.now.unix_ms).to_owned();
        let stats = &self.stats;
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("start_time", stats.start_unix_s.into());
        put("connection_num", self.conns.len().into());
        put("accept_count", stats.accepted.into());
        put("close_count", stats.closed.into());
        put("abort_count", stats.refused.into());
        put("request_count", (stats.requests + stats.messages).into());
        put("response_count", stats.responses.into());
        put("worker_num", self.settings.workers.into());
        put("worker_request_count", stats.requests.into());
        put("total_recv_bytes", stats.received_bytes.into());
        put("total_send_bytes", stats.sent_bytes.into());
        if let Some(waiting) = waiting {
            put("coroutine_num", waiting.into());
        }
        put("jdserver_version", env!("CARGO_PKG_VERSION").into());
        put("jdserver_start_time", stats.start_text.clone().into());
        put("jdserver_tm", present.into());
        let timers = &stats.timers;
        put("jdserver_timer_cnt", timers.periodic.into());
        put("timers_pending", timers.pending.into());
        put("timers_fired", timers.fired.into());
        put("timers_failed", timers.failed.into());
        put("timers_retried", timers.retried.into());
        put("timers_skipped", timers.skipped.into());
        put("timers_refused", timers.refused.into());
        put("timers_queued", timers.queue_depth.into());
        put("timers_running", timers.busy_workers.into());
        put("timers_late", lateness(timers));
        put("timers_changed", timers.changes.into());
        put("user_num", self.hub.len().into());
        put("app_num", self.hub.apps_len().into());
        put("delivered_messages", stats.delivered.into());
        put("dropped_messages", stats.dropped.into());
        put("slow_closed", stats.slow_closed.into());
        put("queued_bytes", self.queued_bytes.into());
        put("held_bytes", self.held_bytes.into());
        put("log_dropped", stats.log_dropped.into());
        put("plugin_events", stats.plugin_events.into());
        put("plugin_dropped", stats.plugin_dropped.into());
        put("api_log_dropped", stats.api_log_dropped.into());
        map
    }
}

/// The lateness histogram: callbacks by the upper bound of their class in ms, the last one without.
fn lateness(timers: &TimerCounters) -> Value {
    let bounds = LATENESS_MS.iter().map(|bound| format!("<={bound}ms"));
    let names = bounds.chain(LATENESS_MS.last().map(|bound| format!(">{bound}ms")));
    names
        .zip(timers.lateness.iter().map(|&count| count.into()))
        .collect::<Map<String, Value>>()
        .into()
}
