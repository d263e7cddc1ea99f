//! The WebSocket codec of the server's side (RFC 6455, 5) on tungstenite's frame headers: a
//! message assembler that owns no heap while idle. Never a socket, never what a text means.
//! Single frames, in and out, are in [`crate::proto::frame`].

use std::borrow::Cow;

use crate::limits::FRAME_HEADER_BYTES_MAX;
use crate::proto::deflate::Deflate;
use crate::proto::frame::{Control, Frame, Kind, broken};
pub use crate::proto::frame::{
    binary_frame, close_frame, compressed_text_frame, payload_of, ping_frame, pong_frame,
    text_frame,
};
use crate::proto::utf8::{InvalidUtf8, PartialText};

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

/// Reads frames out of a stream of pieces; one pointer, null while nothing is under way.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Option<Box<Held>>,
}

/// What is kept between two pieces of input.
#[derive(Debug, Default)]
struct Held {
    stage: Stage,
    /// The data message whose last frame is not complete.
    message: Option<Partial>,
    /// The payload of the control frame under way, or lent out.
    control: Vec<u8>,
}

/// Where in a frame the stream stands.
#[derive(Debug)]
enum Stage {
    /// In a header of which `len` bytes are here; 0 between two frames.
    Header {
        bytes: [u8; FRAME_HEADER_BYTES_MAX],
        len: usize,
    },
    /// In a payload.
    Payload(Frame),
    /// Behind a control frame whose payload went out with the last event, by reference.
    Lent,
}

/// What holds for one poll.
struct Terms<'d> {
    message_bytes_max: usize,
    /// `Some` where permessage-deflate was agreed.
    deflate: Option<&'d mut Deflate>,
}

/// A data message under way.
#[derive(Debug)]
enum Partial {
    Text(PartialText),
    Binary(Vec<u8>),
    Compressed { bytes: Vec<u8>, is_text: bool },
}

/// A complete message or control frame, and where its payload is.
enum Found {
    /// In the input, from this index to the end of what was used.
    TextAt(usize),
    BinaryAt(usize),
    ControlAt(Control, usize),
    /// In [`Held::control`].
    ControlHeld(Control),
    Text(String),
    Binary(Vec<u8>),
}

impl Decoder {
    /// Takes one event from the front of `input`, which is unmasked in place. Says how many bytes
    /// were used and what they were; `None` when everything was used up without completing one
    /// (the rest of a frame is kept inside). `message_bytes_max` bounds a message before and after
    /// inflation, and is checked before anything is reserved. `deflate` is `Some` where
    /// permessage-deflate was agreed.
    ///
    /// Errors: 1002 a broken rule of RFC 6455 or 7692, 1007 not UTF-8 or not deflate, 1009 too big.
    /// After an error or a close the stream has no meaning: feed nothing more.
    pub fn poll_event<'a>(
        &'a mut self,
        input: &'a mut [u8],
        message_bytes_max: usize,
        deflate: Option<&mut Deflate>,
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        let (used, found) = match self.advance(
            input,
            Terms {
                message_bytes_max,
                deflate,
            },
        ) {
            Ok((used, Some(found))) => (used, found),
            Ok((used, None)) => return Ok((used, None)),
            Err(violation) => {
                self.held = None;
                return Err(violation);
            }
        };
        let event = match found {
            Found::TextAt(start) => {
                let text = std::str::from_utf8(&input[start..used]).map_err(|_| NOT_UTF8)?;
                Event::Text(Cow::Borrowed(text))
            }
            Found::BinaryAt(start) => Event::Binary(Cow::Borrowed(&input[start..used])),
            Found::ControlAt(control, start) => control_event(control, &input[start..used])?,
            Found::ControlHeld(control) => {
                let payload = self.held.as_deref().map_or(&[][..], |held| &held.control);
                control_event(control, payload)?
            }
            Found::Text(text) => Event::Text(Cow::Owned(text)),
            Found::Binary(bytes) => Event::Binary(Cow::Owned(bytes)),
        };
        Ok((used, Some(event)))
    }

    /// Heap bytes held for a message under way; 0 while idle. A control frame that came in pieces
    /// is lent out by its event, so it is held until the next poll.
    pub fn held_bytes(&self) -> usize {
        let Some(held) = &self.held else { return 0 };
        let message_bytes = held.message.as_ref().map_or(0, Partial::held_bytes);
        size_of::<Held>() + held.control.capacity() + message_bytes
    }

    /// Reads frames until one completes an event or `input` is used up.
    fn advance(
        &mut self,
        input: &mut [u8],
        mut terms: Terms<'_>,
    ) -> Result<(usize, Option<Found>), Violation> {
        let mut used = 0;
        let mut under_way = self.resume();
        loop {
            let mut frame = match under_way.take() {
                Some(frame) => frame,
                None => {
                    let Some((mut frame, header_bytes)) = self.read_header(&input[used..])? else {
                        return Ok((input.len(), None));
                    };
                    used += header_bytes;
                    self.admit(&frame, &terms)?;
                    if frame.is_whole_event() && frame.left_bytes <= input.len() - used {
                        let end = used + frame.left_bytes;
                        let payload = &mut input[used..end];
                        frame.take(payload);
                        self.end_frame();
                        return Ok((end, Some(whole_event(&frame, payload, used, &mut terms)?)));
                    }
                    self.begin(&frame);
                    frame
                }
            };
            let start = used;
            used += frame.left_bytes.min(input.len() - start);
            if let Some(found) = self.take_piece(&mut frame, &mut input[start..used], &mut terms)? {
                return Ok((used, Some(found)));
            }
            if frame.left_bytes > 0 {
                return Ok((used, None));
            }
        }
    }

    /// The frame whose payload the input goes on with. Takes back what the last event borrowed.
    fn resume(&mut self) -> Option<Frame> {
        match self.held.as_deref()?.stage {
            Stage::Payload(frame) => Some(frame),
            Stage::Lent => {
                self.end_frame();
                None
            }
            Stage::Header { .. } => None,
        }
    }

    /// The next frame and how much of `input` its header took; `None` when `input` ends before it
    /// does: its bytes are kept.
    fn read_header(&mut self, input: &[u8]) -> Result<Option<(Frame, usize)>, Violation> {
        if let Some(Held {
            stage:
                Stage::Header {
                    bytes,
                    len: len @ 1..,
                },
            ..
        }) = self.held.as_deref_mut()
        {
            let before = *len;
            let more = input.len().min(bytes.len() - before);
            bytes[before..before + more].copy_from_slice(&input[..more]);
            *len += more;
            let read = Frame::parse(&bytes[..*len])?;
            return Ok(read.map(|(frame, header_bytes)| (frame, header_bytes - before)));
        }
        let read = Frame::parse(input)?;
        // A header that is not whole is shorter than the longest one.
        if read.is_none() && !input.is_empty() && input.len() < FRAME_HEADER_BYTES_MAX {
            let mut bytes = [0; FRAME_HEADER_BYTES_MAX];
            bytes[..input.len()].copy_from_slice(input);
            self.held.get_or_insert_default().stage = Stage::Header {
                bytes,
                len: input.len(),
            };
        }
        Ok(read)
    }

    /// Judges a frame by what came before it. Errors: 1002, or 1009 when its message gets too big.
    fn admit(&self, frame: &Frame, terms: &Terms<'_>) -> Result<(), Violation> {
        if frame.is_compressed && terms.deflate.is_none() {
            return Err(NOT_AGREED);
        }
        let message = self.held.as_ref().and_then(|held| held.message.as_ref());
        let gathered_bytes = match (frame.kind, message) {
            (Kind::Control(_), _) => return Ok(()),
            (Kind::Continuation, None) => return Err(broken("continuation of nothing")),
            (Kind::Text | Kind::Binary, Some(_)) => return Err(broken("message inside a message")),
            (Kind::Continuation, Some(message)) => message.len(),
            (Kind::Text | Kind::Binary, None) => 0,
        };
        if frame.left_bytes > terms.message_bytes_max.saturating_sub(gathered_bytes) {
            return Err(TOO_BIG);
        }
        Ok(())
    }

    /// Makes room for the state of a frame that is not taken in one go; none yet for its payload.
    fn begin(&mut self, frame: &Frame) {
        let held = self.held.get_or_insert_default();
        if matches!(frame.kind, Kind::Text | Kind::Binary) {
            held.message = Some(Partial::new(frame));
        }
    }

    /// Takes the next piece of the payload of the frame under way: all that is left, or all there is.
    fn take_piece(
        &mut self,
        frame: &mut Frame,
        piece: &mut [u8],
        terms: &mut Terms<'_>,
    ) -> Result<Option<Found>, Violation> {
        let held = self.held.get_or_insert_default();
        frame.take(piece);
        match (frame.kind, &mut held.message) {
            (Kind::Control(_), _) => held.control.extend_from_slice(piece),
            (_, Some(message)) => message.push(piece)?,
            (_, None) => {}
        }
        if frame.left_bytes > 0 {
            held.stage = Stage::Payload(*frame);
            return Ok(None);
        }
        held.stage = Stage::default();
        match frame.kind {
            Kind::Control(control) => {
                held.stage = Stage::Lent;
                Ok(Some(Found::ControlHeld(control)))
            }
            _ if !frame.is_final => Ok(None),
            _ => {
                let message = held.message.take();
                self.held = None;
                message.map(|message| message.finish(terms)).transpose()
            }
        }
    }

    /// Stands between two frames again; without a message under way nothing stays held.
    fn end_frame(&mut self) {
        match &mut self.held {
            Some(held) if held.message.is_some() => {
                held.stage = Stage::default();
                held.control = Vec::new();
            }
            _ => self.held = None,
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::Header {
            bytes: [0; FRAME_HEADER_BYTES_MAX],
            len: 0,
        }
    }
}

impl Partial {
    fn new(frame: &Frame) -> Self {
        let is_text = frame.kind == Kind::Text;
        if frame.is_compressed {
            Self::Compressed {
                bytes: Vec::new(),
                is_text,
            }
        } else if is_text {
            Self::Text(PartialText::default())
        } else {
            Self::Binary(Vec::new())
        }
    }

    /// Errors: 1007 as soon as a text cannot be UTF-8 any more.
    fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        match self {
            Self::Text(text) => text.push(piece)?,
            Self::Binary(bytes) | Self::Compressed { bytes, .. } => bytes.extend_from_slice(piece),
        }
        Ok(())
    }

    fn finish(self, terms: &mut Terms<'_>) -> Result<Found, Violation> {
        match self {
            Self::Text(text) => Ok(Found::Text(text.finish()?)),
            Self::Binary(bytes) => Ok(Found::Binary(bytes)),
            Self::Compressed { bytes, is_text } => inflate(&bytes, is_text, terms),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Compressed { bytes, .. } => bytes.len(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.held_bytes(),
            Self::Binary(bytes) | Self::Compressed { bytes, .. } => bytes.capacity(),
        }
    }
}

impl From<InvalidUtf8> for Violation {
    fn from(_: InvalidUtf8) -> Self {
        NOT_UTF8
    }
}

/// Beyond the bound on a message.
pub(super) const TOO_BIG: Violation = Violation {
    code: 1009,
    reason: "message too big",
};
const NOT_UTF8: Violation = Violation {
    code: 1007,
    reason: "text not UTF-8",
};
const NOT_AGREED: Violation = broken("compression was not agreed");

/// The event of a frame that is one by itself, its payload unmasked at `start` of the input.
fn whole_event(
    frame: &Frame,
    payload: &[u8],
    start: usize,
    terms: &mut Terms<'_>,
) -> Result<Found, Violation> {
    match frame.kind {
        Kind::Control(control) => Ok(Found::ControlAt(control, start)),
        kind if frame.is_compressed => inflate(payload, kind == Kind::Text, terms),
        Kind::Text => Ok(Found::TextAt(start)),
        Kind::Binary | Kind::Continuation => Ok(Found::BinaryAt(start)),
    }
}

fn inflate(compressed: &[u8], is_text: bool, terms: &mut Terms<'_>) -> Result<Found, Violation> {
    let deflate = terms.deflate.as_deref_mut().ok_or(NOT_AGREED)?;
    let bytes = deflate.inflate(compressed, terms.message_bytes_max)?;
    if is_text {
        String::from_utf8(bytes)
            .map(Found::Text)
            .map_err(|_| NOT_UTF8)
    } else {
        Ok(Found::Binary(bytes))
    }
}

fn control_event(control: Control, payload: &[u8]) -> Result<Event<'_>, Violation> {
    match control {
        Control::Ping => Ok(Event::Ping(payload)),
        Control::Pong => Ok(Event::Pong),
        Control::Close => close_event(payload),
    }
}

/// Errors: 1002 for half a code or one that is not for the wire (RFC 6455, 7.4), 1007 for a reason
/// that is not UTF-8.
fn close_event(payload: &[u8]) -> Result<Event<'_>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(Event::Close(1005, ""))
        } else {
            Err(broken("half a close code"))
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(broken("invalid close code"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
    Ok(Event::Close(code, reason))
}

#[cfg(test)]
mod tests;
