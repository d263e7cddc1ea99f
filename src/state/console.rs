//! The console: connections under the app [`APP`] are told what happens in the daemon, as compact JSON with its kind in
//! `ev`. Only those whose token administers may join, nobody pushes to them, and while there are none nothing is done.
//!
//! | `ev` | when | what |
//! |---|---|---|
//! | `stat` | every 2 s | `stat`: as the call `stat` |
//! | `apps` | with it, where changed | `apps`: name and connections of each; `total`: how many apps there are |
//! | `row` | every 10 s | `row`: the newest of `statHistory` |
//! | `moves` | within 250 ms | `moves`: joined or left (`+`, `-`), app, user, number; `more`: left out |
//! | `log` | within 500 ms | `lines`: number, log, text; `more`: left out |
//!
//! What one of them does not take in time it misses; it is never closed for that.

use serde_json::{Value, json};

use crate::ids::ConnId;
use crate::limits::{
    CONSOLE_APPS_BYTES_MAX, CONSOLE_LINES_MAX, CONSOLE_LOG_MS, CONSOLE_MOVES_MAX,
    CONSOLE_NAME_BYTES_MAX, CONSOLE_QUEUE_BYTES_MAX, CONSOLE_STAT_MS, CONSOLES_MAX, FLUSH_WORK,
};
use crate::message::{LogLines, LogQuery, TailLine};
use crate::proto::json;
use crate::proto::logtext::log_text;
use crate::state::access::Access;
use crate::state::connection::Phase;
use crate::state::delivery::Notice;
use crate::state::server::{Output, Server};

/// The app that is the daemon's own.
pub(super) const APP: &str = "_console";

/// What the consoles are to be told.
#[derive(Debug, Default)]
pub(super) struct Console {
    is_watched: bool,
    /// Somebody is new and has not been told anything.
    is_fresh: bool,
    /// The last hour has a new row.
    pub has_row: bool,
    stat_due_ms: u64,
    log_due_ms: u64,
    moves: Vec<Value>,
    moves_left_out: u64,
    /// The last apps told.
    apps: String,
    /// The number of the last line told; `None` until it is known where to begin.
    last_line: Option<u64>,
    /// Whether the disk thread owes an answer.
    is_asking: bool,
}

impl Console {
    /// Remembers that a user came (`+`) or went (`-`), where somebody wants to know.
    pub fn note(&mut self, sign: &str, app: &str, user: &str, id: ConnId) {
        if !self.is_watched {
            return;
        }
        if self.moves.len() >= CONSOLE_MOVES_MAX {
            self.moves_left_out += 1;
            return;
        }
        let cut = |name| log_text(name, CONSOLE_NAME_BYTES_MAX);
        self.moves
            .push(json!([sign, cut(app), cut(user), id.generation]));
    }
}

impl<S> Server<S> {
    /// Whether a connection may join the consoles; else what it is told.
    pub(super) fn may_watch(&self, id: ConnId) -> Result<(), &'static str> {
        let is_admin = self
            .conn(id)
            .is_some_and(|conn| conn.access == Access::Admin);
        if !is_admin {
            return Err("*** error: app `_console` requires the admin token");
        }
        let is_member = self.hub.member(id.key).is_some_and(|(app, _)| app == APP);
        match is_member || self.hub.count(APP) < CONSOLES_MAX {
            true => Ok(()),
            false => Err("*** error: too many consoles"),
        }
    }

    /// Somebody joined.
    pub(super) fn welcome_console(&mut self) {
        self.console.is_fresh = true;
        if !self.console.is_watched {
            self.console = Console {
                is_watched: true,
                is_fresh: true,
                // Its answer may still come; then it is as good as any.
                is_asking: self.console.is_asking,
                ..Console::default()
            };
            // Asked before it can ask for the last lines itself, so that none is missing in between.
            self.ask_lines(0);
        }
    }

    /// Tells what there is to tell; called by the sweep, four times a second.
    pub(super) fn tend_console(&mut self) {
        if !self.console.is_watched {
            return;
        }
        if self.hub.count(APP) == 0 {
            self.console = Console::default();
            return;
        }
        if !self.console.moves.is_empty() {
            let moves = std::mem::take(&mut self.console.moves);
            let more = std::mem::take(&mut self.console.moves_left_out);
            self.tell_console(&json!({"ev": "moves", "moves": moves, "more": more}));
        }
        if self.console.log_due_ms <= self.now.mono_ms && !self.console.is_asking {
            self.console.log_due_ms = self.now.mono_ms + CONSOLE_LOG_MS;
            self.ask_lines(CONSOLE_LINES_MAX);
        }
        let is_fresh = std::mem::take(&mut self.console.is_fresh);
        if is_fresh || self.console.stat_due_ms <= self.now.mono_ms {
            self.console.stat_due_ms = self.now.mono_ms + CONSOLE_STAT_MS;
            let stat = self.stat_values(None);
            self.tell_console(&json!({"ev": "stat", "stat": stat}));
            self.tell_apps(is_fresh);
        }
        if std::mem::take(&mut self.console.has_row)
            && let Some(row) = self.history.last()
        {
            self.tell_console(&json!({"ev": "row", "row": row}));
        }
    }

    fn tell_apps(&mut self, is_fresh: bool) {
        let mut apps = Vec::new();
        let mut bytes = 0;
        for (_, name, count) in self.hub.apps(0) {
            bytes += name.len() + 16;
            if bytes > CONSOLE_APPS_BYTES_MAX {
                break;
            }
            apps.push(json!([name, count]));
        }
        self.spend(apps.len() as u32);
        let event = json!({"ev": "apps", "apps": apps, "total": self.hub.apps_len()});
        let text = json::to_text(&event);
        if is_fresh || text != self.console.apps {
            self.tell_console(&event);
            self.console.apps = text;
        }
    }

    fn ask_lines(&mut self, limit: usize) {
        self.console.is_asking = true;
        self.output(Output::Tail(Box::new(LogQuery {
            reply_to: None,
            after: self.console.last_line.unwrap_or(0),
            file: None,
            text: "".into(),
            limit,
        })));
    }

    /// The disk thread told the lines behind the last ones.
    pub(super) fn tell_lines(&mut self, told: &LogLines) {
        self.console.is_asking = false;
        let before = self.console.last_line.replace(told.last);
        if !self.console.is_watched || told.lines.is_empty() {
            return;
        }
        let written = told.last.saturating_sub(before.unwrap_or(told.last));
        let more = written.saturating_sub(told.lines.len() as u64);
        let lines: Vec<Value> = told.lines.iter().map(line_value).collect();
        self.tell_console(&json!({"ev": "log", "lines": lines, "more": more}));
    }

    /// The disk thread had no room for the question.
    pub(super) fn handle_lines_refused(&mut self) {
        self.console.is_asking = false;
    }

    /// Queues an event for every console that keeps up.
    fn tell_console(&mut self, event: &Value) {
        let text = json::to_text(event);
        let mut notice = Notice::new(text.into());
        let members = self.hub.members_of(APP);
        let ids: Vec<ConnId> = members.filter_map(|key| self.id_of(key)).collect();
        for id in ids {
            let is_full = self.queued_bytes >= self.settings.max_queue_total;
            let deflates = match self.conn(id) {
                Some(conn) if is_full || conn.outbound.cost() > CONSOLE_QUEUE_BYTES_MAX => continue,
                Some(conn) => match &conn.phase {
                    Phase::WebSocket(ws) => ws.deflate,
                    _ => continue,
                },
                None => continue,
            };
            let frame = notice.frame(deflates.then_some(&mut self.deflate));
            self.spend(FLUSH_WORK);
            self.send_notice(id, frame);
        }
    }
}

/// A line as the console and `logTail` show it.
pub(super) fn line_value(line: &TailLine) -> Value {
    json!([line.number, line.file.name(), &*line.text])
}

#[cfg(test)]
mod tests;
