//! WebSocket connections: init, push, everything else answers OK (contract 2); pings, closes,
//! `/echo`. Frames are read in [`crate::proto::websocket`].

use std::borrow::Cow;

use bytes::Bytes;

use crate::call::answer::{Answer, Data};
use crate::ids::ConnId;
use crate::limits::{
    BYTES_PER_WORK, DEFLATE_BYTES_PER_WORK, INIT_WORK, LOG_TEXT_BYTES_MAX, MESSAGE_WORK,
    NAME_BYTES_MAX,
};
use crate::message::plugin::EventKind;
use crate::proto::json;
use crate::proto::logtext::log_text;
use crate::proto::websocket::{self as codec, Event};
use crate::state::calls::Progress;
use crate::state::connection::{Heard, InputState, Phase, ReplyAs, WebSocket};
use crate::state::console;
use crate::state::delivery::Notice;
use crate::state::server::{Server, live, log_name};
use crate::state::spec::Spec;
use crate::state::websocket::message::{Member, Message};

mod message;

impl<S> Server<S> {
    /// Uses one event from the front of `data`; `None` when the rest is kept by the decoder.
    pub(super) fn process_websocket(&mut self, id: ConnId, data: &mut [u8]) -> Option<usize> {
        let mut bytes_max = self.settings.max_body;
        let second = (self.now.mono_ms / 1_000) as u32;
        let conn = live(&mut self.conns, id)?;
        let Phase::WebSocket(ws) = &mut conn.phase else {
            return None;
        };
        let (echo, closing) = (ws.echo, ws.closing.is_some());
        if closing {
            // Only the peer's close is waited for: a message is not worth its decoding.
            bytes_max = 0;
        }
        // The decoder is moved out for the event, which may borrow from it.
        let mut decoder = std::mem::take(&mut ws.decoder);
        let deflate = ws.deflate.then_some(&mut self.deflate);
        let whole = data.len();
        let mut work = MESSAGE_WORK;
        let used = match decoder.poll_event(data, bytes_max, deflate) {
            Ok((used, event)) => {
                work += (used / BYTES_PER_WORK) as u32;
                if let Some(Event::Text(Cow::Owned(text))) = &event {
                    work += (text.len() / DEFLATE_BYTES_PER_WORK) as u32;
                }
                match event {
                    Some(Event::Close(..)) if closing => self.finish_close(id),
                    _ if closing => {}
                    Some(Event::Text(_) | Event::Binary(_)) if !self.may_speak(id, second) => {
                        self.close_websocket(id, 1008, "too many messages per second");
                    }
                    Some(Event::Text(text)) if echo => self.echo(id, text),
                    Some(Event::Text(text)) => self.handle_text(id, &text),
                    Some(Event::Binary(bytes)) if echo => {
                        self.send_reply(id, codec::binary_frame(&bytes), false)
                    }
                    Some(Event::Binary(bytes)) => match std::str::from_utf8(&bytes) {
                        Ok(text) => self.handle_text(id, text),
                        Err(_) => self.close_websocket(id, 1007, "bad data format"),
                    },
                    Some(Event::Ping(payload)) => {
                        self.send_reply(id, codec::pong_frame(payload), false)
                    }
                    Some(Event::Close(code, _)) => self.answer_close(id, code),
                    Some(Event::Pong) | None => {}
                }
                used
            }
            // After a close nothing more is said (RFC 6455, 5.5.1).
            Err(_) if closing => {
                self.linger(id);
                whole
            }
            Err(violation) => {
                self.fail_websocket(id, violation.code, violation.reason);
                whole
            }
        };
        self.spend(work);
        let tick = self.tick();
        if let Some(Phase::WebSocket(ws)) = live(&mut self.conns, id).map(|conn| &mut conn.phase) {
            ws.began = (decoder.held_bytes() > 0).then(|| ws.began.unwrap_or(tick));
            ws.decoder = decoder;
        }
        Some(used)
    }

    /// Counts a message against the rate, where there is one.
    fn may_speak(&mut self, id: ConnId, second: u32) -> bool {
        let max_rate = self.settings.max_rate;
        self.stats.messages += 1;
        if max_rate == 0 {
            return true;
        }
        let Some(Phase::WebSocket(ws)) = live(&mut self.conns, id).map(|conn| &mut conn.phase)
        else {
            return false;
        };
        if ws.rate_second != second {
            (ws.rate_second, ws.rate) = (second, 0);
        }
        ws.rate += 1;
        ws.rate <= max_rate
    }

    fn handle_text(&mut self, id: ConnId, text: &str) {
        self.wide = false;
        if self.settings.log_ws {
            self.log_message(id, text);
        }
        let Some(message) = Message::parse(text) else {
            let reply = format!("*** require json data. but recv: {text}");
            self.send_text(id, &reply);
            return self.close_websocket(id, 1007, "bad data format");
        };
        let ac = match &message.ac {
            Member::Text(ac) => ac.as_ref(),
            _ => "",
        };
        if ac == "init" {
            return self.init(id, &message, text);
        }
        if self.hub.member(id.key).is_none() {
            self.send_text(id, "*** error: require init");
            return self.close_websocket(id, 1000, "");
        }
        if ac == "push" {
            return self.push_message(id, message, text);
        }
        let app = self.hub.member(id.key).map_or("", |(app, _)| app);
        if self.plugins.handles(EventKind::Message, app) {
            let heard = Box::new(Heard {
                app: app.into(),
                text: text.into(),
            });
            return self.finish_message(id, Ok(Data::Json("OK".into())), Some(heard));
        }
        self.send_reply(id, Bytes::from_static(OK_FRAME), false);
    }

    fn init(&mut self, id: ConnId, message: &Message<'_>, text: &str) {
        let (app, user) = match (name_in(&message.app, "app"), name_in(&message.user, "user")) {
            (Err(text), _) | (_, Err(text)) => return self.send_text(id, &text),
            (Ok(app), Ok(user)) => (app, user),
        };
        if app == console::APP
            && let Err(text) = self.may_watch(id)
        {
            return self.send_text(id, text);
        }
        let numeric = matches!(&message.user, Member::Other(value) if value.is_number());
        let is_new = self.hub.member(id.key) != Some((&*app, &*user));
        self.spend(INIT_WORK);
        if is_new {
            self.tell_close(id);
            if let Some((app, user)) = self.hub.member(id.key) {
                self.console.note("-", app, user, id);
            }
            self.console.note("+", &app, &user, id);
        }
        self.hub.join(id.key, &app, &user, numeric);
        if is_new {
            let line = format!(
                "[app {}] add user: {} #{}",
                log_name(&app),
                log_name(&user),
                id.generation
            );
            self.log(&line);
        }
        self.send_reply(id, Bytes::from_static(OK_FRAME), false);
        if app == console::APP {
            self.welcome_console();
        }
        if is_new {
            self.start_open_handlers(id, &app, &user, text);
        }
    }

    fn push_message(&mut self, id: ConnId, message: Message<'_>, whole: &str) {
        let app = match name_in(&message.app, "app") {
            Ok(app) => app,
            Err(text) => return self.send_text(id, &text),
        };
        let spec = match &message.user {
            Member::Missing => return self.send_text(id, "*** error: require param `user`"),
            Member::Text(text) => Spec::Text(Cow::Borrowed(text)),
            Member::Other(value) => match value.as_array() {
                Some(items) => Spec::List(items.iter().map(json::to_text).collect()),
                None => Spec::Text(Cow::Owned(json::to_text(value))),
            },
        };
        let text = match message.msg {
            Member::Missing => return self.send_text(id, "*** error: require param `msg`"),
            Member::Text(text) => text,
            Member::Other(value) => Cow::Owned(json::to_text(&value)),
        };
        if self.settings.log_ws
            && let Some((_, user)) = self.hub.member(id.key)
        {
            let (to, by) = (spec.text(), log_name(user));
            let line = format!(
                "[app {}] push to {} by {by} #{}: {}",
                log_name(&app),
                log_name(&to),
                id.generation,
                log_text(&text, LOG_TEXT_BYTES_MAX)
            );
            self.log(&line);
        }
        let heard = self.plugins.handles(EventKind::Message, &app).then(|| {
            let (app, text) = (app.as_ref().into(), whole.into());
            Box::new(Heard { app, text })
        });
        match self.push_from_websocket(id, &app, spec, text) {
            Progress::Done(answer) => self.finish_message(id, answer, heard),
            Progress::Wait(work, wait) => self.park(id, work, wait, ReplyAs::WebSocket(heard)),
        }
    }

    /// Answers a message, once its handlers have ended.
    pub(super) fn finish_message(&mut self, id: ConnId, answer: Answer, heard: Option<Box<Heard>>) {
        match heard {
            Some(heard) => self.start_message_handlers(id, answer, *heard),
            None => self.answer_push(id, answer),
        }
    }

    /// Answers a push that came over a WebSocket: its count as text.
    pub(super) fn answer_push(&mut self, id: ConnId, answer: Answer) {
        if let Some(Phase::WebSocket(ws)) = self.conn(id).map(|conn| &conn.phase)
            && ws.closing.is_some()
        {
            // A handler closed it: no message follows a close (RFC 6455, 5.5.1).
            return;
        }
        let wide = self.wide;
        let text = match answer {
            Ok(Data::Count(count)) => count.to_string(),
            Ok(data) => json::to_text(&data.into_value()),
            Err(error) => format!("*** error: {}", error.detail),
        };
        self.send_reply(id, codec::text_frame(text.as_bytes()), wide);
    }

    pub(super) fn send_text(&mut self, id: ConnId, text: &str) {
        self.send_reply(id, codec::text_frame(text.as_bytes()), false);
    }

    fn log_message(&mut self, id: ConnId, text: &str) {
        let text = log_text(text, LOG_TEXT_BYTES_MAX);
        let line = match self.hub.member(id.key) {
            Some((app, user)) => {
                format!(
                    "[app {}] recv from {} #{}: {text}",
                    log_name(app),
                    log_name(user),
                    id.generation
                )
            }
            None => format!("recv init from #{}: {text}", id.generation),
        };
        self.log(&line);
    }

    /// Sends a text back, compressed where that was agreed: conformance suites look at both.
    fn echo(&mut self, id: ConnId, text: Cow<'_, str>) {
        let deflates = match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::WebSocket(ws)) => ws.deflate,
            _ => false,
        };
        let frame = Notice::new(text).frame(deflates.then_some(&mut self.deflate));
        self.send_reply(id, frame, false);
    }

    /// Says why, and waits for the peer's close (RFC 6455, 7.1.2).
    pub(super) fn close_websocket(&mut self, id: ConnId, code: u16, reason: &str) {
        self.send_reply(id, codec::close_frame(code, reason), false);
        self.leave_hub(id);
        let tick = self.tick();
        if let Some(Phase::WebSocket(ws)) = live(&mut self.conns, id).map(|conn| &mut conn.phase) {
            ws.closing = Some(tick);
        }
    }

    /// The same where nothing the peer sends can be understood any more.
    pub(super) fn fail_websocket(&mut self, id: ConnId, code: u16, reason: &str) {
        self.send_reply(id, codec::close_frame(code, reason), false);
        self.linger(id);
    }

    /// Answers the peer's close with its own code.
    fn answer_close(&mut self, id: ConnId, code: u16) {
        self.send_reply(id, codec::close_frame(code, ""), false);
        self.finish_close(id);
    }

    /// Both sides have said goodbye: what waits is sent, then the connection is closed.
    fn finish_close(&mut self, id: ConnId) {
        if let Some(conn) = live(&mut self.conns, id) {
            conn.input = InputState::Ended;
        }
        self.linger(id);
    }
}

const OK_FRAME: &[u8] = b"\x81\x02OK";

/// An app's or user's name: a string or a number.
fn name_in<'m>(member: &'m Member<'_>, param: &str) -> Result<Cow<'m, str>, String> {
    let name = match member {
        Member::Missing => return Err(format!("*** error: require param `{param}`")),
        Member::Text(text) => Cow::Borrowed(text.as_ref()),
        Member::Other(value) if value.is_number() => Cow::Owned(json::to_text(value)),
        Member::Other(_) => {
            return Err(format!(
                "*** error: param `{param}` must be a string or a number"
            ));
        }
    };
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "*** error: param `{param}` is longer than {NAME_BYTES_MAX} bytes"
        ));
    }
    Ok(name)
}

/// Kept beside the field it bounds: an idle WebSocket must stay small.
const _: () = assert!(size_of::<WebSocket>() <= 40);
