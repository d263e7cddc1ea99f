//! Long polls (contract 3): a poll is a member of the hub that takes one message.

use crate::ids::ConnId;
use crate::limits::{NAME_BYTES_MAX, TICK_MS};
use crate::proto::form::{Field, Form};
use crate::state::connection::{InputState, Meta, Phase, Poll};
use crate::state::console;
use crate::state::respond::BARE_TYPE;
use crate::state::server::{Server, live, log_name};

impl<S> Server<S> {
    pub(super) fn start_poll(&mut self, id: ConnId, meta: Meta, query: &Form<'_>) {
        let text = |name| match query.get(name) {
            Some(Field::Text(text)) if !text.is_empty() => Some(text.as_ref()),
            _ => None,
        };
        let (app, user) = match (text("app"), text("user")) {
            (None, _) => return self.poll_error(id, &meta, "require param `app`"),
            (_, None) => return self.poll_error(id, &meta, "require param `user`"),
            (Some(app), Some(user)) => (app, user),
        };
        if app.len().max(user.len()) > NAME_BYTES_MAX {
            return self.poll_error(
                id,
                &meta,
                "params `app` and `user` must be at most 1024 bytes long",
            );
        }
        if app == console::APP {
            return self.poll_error(id, &meta, "app `_console` is the daemon's own");
        }
        let due_ms = match text("timeout").map(str::trim).map(str::parse::<f64>) {
            None => None,
            Some(Ok(seconds)) if seconds >= 0.0 => Some(
                self.now
                    .mono_ms
                    .saturating_add((seconds * 1_000.0).ceil() as u64),
            ),
            Some(_) => {
                return self.poll_error(
                    id,
                    &meta,
                    "param `timeout` must be a number of seconds, e.g. 30 or 0.5",
                );
            }
        };
        let text = format!(
            "[app {}] add http user: {} #{}",
            log_name(app),
            log_name(user),
            id.generation
        );
        self.log(&text);
        self.hub.join(id.key, app, user, false);
        if let Some(due_ms) = due_ms {
            self.polls.insert((due_ms, id));
        }
        if let Some(conn) = live(&mut self.conns, id) {
            conn.phase = Phase::Poll(Box::new(Poll { meta, due_ms }));
            if conn.input != InputState::Open {
                // Nobody waits for the message, but answers before it may still be on their way.
                self.linger(id);
            }
        }
    }

    fn poll_error(&mut self, id: ConnId, meta: &Meta, text: &str) {
        self.respond(
            id,
            meta,
            200,
            BARE_TYPE,
            false,
            &[],
            format!("*** error: {text}").as_bytes(),
        );
    }

    /// Ends a long poll with a message, or with nothing at its timeout.
    pub(super) fn answer_poll(&mut self, id: ConnId, text: &str, wide: bool) {
        self.leave_hub(id);
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let since = (self.now.mono_ms / TICK_MS) as u32;
        let phase = std::mem::replace(
            &mut conn.phase,
            Phase::Head {
                scanned: 0,
                since,
                fresh: false,
            },
        );
        if let Phase::Poll(poll) = phase {
            let sender_is_wide = std::mem::replace(&mut self.wide, wide);
            self.respond(id, &poll.meta, 200, BARE_TYPE, false, &[], text.as_bytes());
            self.wide = sender_is_wide;
            // Requests may wait behind the poll.
            self.resume.push_back(id);
        }
    }
}
