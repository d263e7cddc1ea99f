//! The WebSocket codec of the server's side (RFC 6455, 5) on tungstenite's frame headers: a
//! message assembler that owns no heap while idle. Never a socket, never what a text means.

use std::borrow::Cow;

use bytes::Bytes;

use crate::proto::deflate::Deflate;

/// What to close a connection with when its peer broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Close code: 1002, 1003, 1007, 1009.
    pub code: u16,
    /// Reason for the close frame.
    pub reason: &'static str,
}

/// One thing a peer said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message, valid UTF-8.
    Text(Cow<'a, str>),
    /// A whole binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping's payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame: its code (1005 when it has none) and its reason.
    Close(u16, &'a str),
}

/// Reads frames out of a stream of pieces; 8 or 16 bytes while no message is under way.
#[derive(Debug, Default)]
pub struct Decoder {
    _todo: (),
}

impl Decoder {
    /// Takes one event from the front of `input`, which is unmasked in place. Says how many bytes were used
    /// and what they were; `None` when everything was used up without completing one (the rest of
    /// a frame is kept inside). `message_bytes_max` bounds a message before and after inflation, and is checked before anything is reserved.
    /// `deflate` is `Some` where permessage-deflate was agreed.
    pub fn poll_event<'a>(
        &'a mut self,
        input: &'a mut [u8],
        message_bytes_max: usize,
        deflate: Option<&mut Deflate>,
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        let _ = (input, message_bytes_max, deflate);
        todo!()
    }

    /// Heap bytes held for a message under way; 0 while idle.
    pub fn held_bytes(&self) -> usize {
        todo!()
    }
}

/// A whole unmasked text frame.
pub fn text_frame(payload: &[u8]) -> Bytes {
    let _ = payload;
    todo!()
}

/// A whole unmasked text frame whose payload was compressed (RSV1 set).
pub fn compressed_text_frame(compressed: &[u8]) -> Bytes {
    let _ = compressed;
    todo!()
}

/// A whole unmasked binary frame.
pub fn binary_frame(payload: &[u8]) -> Bytes {
    let _ = payload;
    todo!()
}

/// A ping.
pub fn ping_frame() -> Bytes {
    todo!()
}

/// A pong that echoes `payload` (at most 125 bytes).
pub fn pong_frame(payload: &[u8]) -> Bytes {
    let _ = payload;
    todo!()
}

/// A close frame; 1005 sends none of code and reason. A reason is cut to 123 bytes at a character.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let _ = (code, reason);
    todo!()
}

/// The payload of a frame that one of the functions above made.
pub fn payload_of(frame: &Bytes) -> Bytes {
    let _ = frame;
    todo!()
}
