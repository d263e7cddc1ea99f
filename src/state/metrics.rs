//! What watchers of machines ask: `/metrics` in Prometheus' text format, and `/healthz`. Counts nothing itself.
//!
//! What the kernel knows of the process is read by a worker; where none is free, the answer goes without that.

use std::fmt::{Display, Write};

use crate::call::answer::{Data, Page};
use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::message::{Job, LATENESS_MS, ProcessInfo};
use crate::proto::request::{Head, Method};
use crate::state::calls::{Wait, Work};
use crate::state::connection::{HttpReply, Meta, Phase, ReplyAs};
use crate::state::respond::CALL_TYPE;
use crate::state::server::{Output, Server};

/// Where this is found.
pub(super) const METRICS_PATH: &str = "/metrics";
/// Where this is found.
pub(super) const HEALTH_PATH: &str = "/healthz";

/// The format's version 0.0.4.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl<S> Server<S> {
    /// `/healthz`: 200 `ok`, or 503 while the daemon stops. Needs no token: it says nothing else.
    pub(super) fn answer_health(&mut self, id: ConnId, head: &Head<'_, '_>, meta: &Meta) {
        if !is_reading(head) {
            return self.refuse_reading(id);
        }
        match self.is_stopping() {
            true => self.refuse_politely(id, meta, 503, "stopping"),
            false => self.respond(id, meta, 200, CALL_TYPE, true, &[], b"ok\n"),
        }
    }

    /// `/metrics`
    pub(super) fn start_metrics(&mut self, id: ConnId, head: &Head<'_, '_>, meta: Meta) {
        if !is_reading(head) {
            return self.refuse_reading(id);
        }
        self.output(Output::Job(Job::Process { reply_to: id }));
        let reply = HttpReply {
            meta,
            shape: Shape::default(),
            action: "metrics".into(),
        };
        self.park(id, Work::Asked, Wait::Job, ReplyAs::Http(Box::new(reply)));
    }

    /// A worker read what the kernel knows, or none was free.
    pub(super) fn continue_metrics(&mut self, id: ConnId, process: &ProcessInfo) {
        let page = Page {
            content_type: METRICS_TYPE.into(),
            body: self.metrics(process).into_bytes().into(),
        };
        self.resume_with(id, Some(Ok(Data::Page(Box::new(page)))));
    }

    fn refuse_reading(&mut self, id: ConnId) {
        self.refuse_with(
            id,
            405,
            "this takes GET and HEAD",
            &[("Allow", "GET, HEAD")],
        );
    }

    /// Connections whose call is under way, and long polls. A walk over all: many in one read must not add up.
    pub(super) fn count_waiting(&mut self) -> usize {
        self.spend((self.conns.len() / 4) as u32);
        self.conns
            .iter()
            .filter(|(_, conn)| conn.parked.is_some() || matches!(conn.phase, Phase::Poll(_)))
            .count()
    }

    fn metrics(&mut self, process: &ProcessInfo) -> String {
        let waiting = self.count_waiting();
        let (stats, timers) = (&self.stats, &self.stats.timers);
        let mut out = Exposition::default();
        out.labelled(
            "jdserver_build_info",
            "Which jdserver this is; always 1.",
            &[("version", env!("CARGO_PKG_VERSION"))],
        );
        out.gauge("jdserver_connections", "Connections.", self.conns.len());
        out.gauge(
            "jdserver_users",
            "Members of all apps, long polls included.",
            self.hub.len(),
        );
        out.gauge(
            "jdserver_apps",
            "Apps that have members.",
            self.hub.apps_len(),
        );
        out.gauge(
            "jdserver_waiting",
            "Calls under way, and long polls.",
            waiting,
        );
        out.gauge(
            "jdserver_queued_bytes",
            "Bytes that wait to be sent.",
            self.queued_bytes,
        );
        out.gauge(
            "jdserver_held_bytes",
            "Bytes of unfinished input.",
            self.held_bytes,
        );
        out.gauge(
            "jdserver_workers_max",
            "Worker threads at most.",
            self.settings.workers,
        );
        for (name, help, count) in [
            ("connections_accepted", "Connections taken.", stats.accepted),
            ("connections_closed", "Connections closed.", stats.closed),
            (
                "connections_refused",
                "Connections turned away: too many.",
                stats.refused,
            ),
            (
                "connections_slow_closed",
                "Connections closed because their queue was full.",
                stats.slow_closed,
            ),
            ("requests", "Complete HTTP requests.", stats.requests),
            (
                "requests_refused",
                "Requests refused for how they were made.",
                stats.requests_refused,
            ),
            ("responses", "HTTP responses.", stats.responses),
            (
                "calls_failed",
                "Calls answered with an error.",
                stats.calls_failed,
            ),
            (
                "websocket_upgrades",
                "Upgrades to WebSocket.",
                stats.upgrades,
            ),
            (
                "websocket_messages",
                "Messages received over WebSocket.",
                stats.messages,
            ),
            (
                "messages_delivered",
                "Messages put into a receiver's queue.",
                stats.delivered,
            ),
            (
                "messages_dropped",
                "Messages that a full queue did not take.",
                stats.dropped,
            ),
            ("received_bytes", "Bytes received.", stats.received_bytes),
            ("sent_bytes", "Bytes sent.", stats.sent_bytes),
            (
                "log_lines_dropped",
                "Log lines that found the log queue full.",
                stats.log_dropped,
            ),
            (
                "plugin_events",
                "Events that plugins were told of.",
                stats.plugin_events,
            ),
            (
                "plugin_events_dropped",
                "Events that plugins missed: too many were under way.",
                stats.plugin_dropped,
            ),
            (
                "api_log_dropped",
                "Calls that are missing in ApiLog.",
                stats.api_log_dropped,
            ),
            (
                "timer_callbacks",
                "Callbacks handed out, retries included.",
                timers.fired,
            ),
            (
                "timer_callbacks_failed",
                "Runs of timers that failed for good.",
                timers.failed,
            ),
            (
                "timer_callbacks_retried",
                "Callbacks made again after a failure.",
                timers.retried,
            ),
            (
                "timer_runs_skipped",
                "Occurrences left out: overlap, or a full queue.",
                timers.skipped,
            ),
            (
                "timer_records_refused",
                "Changes of timers that the disk did not take.",
                timers.refused,
            ),
        ] {
            out.counter(&format!("jdserver_{name}_total"), help, count);
        }
        out.gauge(
            "jdserver_timers",
            "Periodic timers, disabled ones too.",
            timers.periodic,
        );
        out.gauge(
            "jdserver_timers_pending",
            "Timers that wait for their time.",
            timers.pending,
        );
        out.gauge(
            "jdserver_timer_callbacks_queued",
            "Callbacks that wait for a slot.",
            timers.queue_depth,
        );
        out.gauge(
            "jdserver_timer_callbacks_running",
            "Callbacks that are with a worker.",
            timers.busy_workers,
        );
        out.histogram(
            "jdserver_timer_lateness_seconds",
            "How late callbacks were handed out, first tries.",
            &LATENESS_MS,
            &timers.lateness,
            timers.lateness_ms,
        );
        out.gauge(
            "process_start_time_seconds",
            "Start, Unix time.",
            stats.start_unix_s(),
        );
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory that is in RAM.",
                process.resident_bytes,
            ),
            (
                "process_open_fds",
                "Open files, sockets included.",
                process.open_files,
            ),
            (
                "process_max_fds",
                "Open files at most.",
                process.open_files_max,
            ),
        ] {
            if let Some(value) = value {
                out.gauge(name, help, value);
            }
        }
        if let Some(ms) = process.cpu_ms {
            let help = "Processor time, the system's on its behalf included.";
            out.counter("process_cpu_seconds_total", help, Seconds(ms));
        }
        out.text
    }
}

fn is_reading(head: &Head<'_, '_>) -> bool {
    matches!(head.method, Method::Get | Method::Head)
}

/// Metrics as text. Source: prometheus.io, "Text-based format", version 0.0.4.
#[derive(Debug, Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail; no help of ours holds a line end or a backslash.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.begin(name, "gauge", help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.begin(name, "counter", help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    /// A gauge that is 1 and tells by its labels, whose values need no escape.
    fn labelled(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.begin(name, "gauge", help);
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let _ = writeln!(self.text, "{name}{{{}}} 1", labels.join(","));
    }

    /// Classes with upper bounds in ms, one more without, and the sum of all values in ms.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        bounds_ms: &[u64],
        counts: &[u64],
        sum_ms: u64,
    ) {
        self.begin(name, "histogram", help);
        let bounds = bounds_ms.iter().map(|&ms| Seconds(ms).to_string());
        let mut sum = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            sum += count;
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let _ = writeln!(
            self.text,
            "{name}_sum {}\n{name}_count {sum}",
            Seconds(sum_ms)
        );
    }
}

/// Milliseconds, shown as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seconds(ms) = *self;
        let digits = format!("{}.{:03}", ms / 1_000, ms % 1_000);
        f.write_str(digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_its_classes_up() {
        let mut out = Exposition::default();
        out.histogram("x_seconds", "Help.", &[1, 20, 5_000], &[3, 0, 2, 1], 12_345);
        assert_eq!(
            out.text,
            "# HELP x_seconds Help.\n# TYPE x_seconds histogram\nx_seconds_bucket{le=\"0.001\"} 3\n\
             x_seconds_bucket{le=\"0.02\"} 3\nx_seconds_bucket{le=\"5\"} 5\nx_seconds_bucket{le=\"+Inf\"} 6\n\
             x_seconds_sum 12.345\nx_seconds_count 6\n"
        );
    }

    #[test]
    fn seconds_are_plain_numbers() {
        for (ms, want) in [
            (0, "0"),
            (1, "0.001"),
            (100, "0.1"),
            (10_000, "10"),
            (1_230, "1.23"),
        ] {
            assert_eq!(Seconds(ms).to_string(), want);
        }
    }
}
