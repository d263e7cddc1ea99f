//! One WebSocket frame (RFC 6455, 5.2) on tungstenite's types: a peer's header judged, a payload
//! unmasked, frames of ours encoded. Never a message: that is [`crate::proto::websocket`].

use std::io::Cursor;

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{self, Data, OpCode};

use crate::limits::CONTROL_BYTES_MAX;
use crate::proto::websocket::Violation;

/// A frame of a peer whose header is read, and how much of its payload is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// The last of its message.
    pub is_final: bool,
    /// RSV1: the message it begins is compressed (RFC 7692, 6).
    pub is_compressed: bool,
    /// The mask, its first byte being that of the next payload byte.
    mask: [u8; 4],
    /// Payload bytes to come.
    pub left_bytes: usize,
}

/// The opcodes in use (RFC 6455, 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first frame of a text message.
    Text,
    /// The first frame of a binary message.
    Binary,
    /// A further frame of the message under way.
    Continuation,
    /// A control frame; it may stand between the frames of a message.
    Control(Control),
}

/// Control frames (RFC 6455, 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The peer closes.
    Close,
    /// The peer asks for a pong.
    Ping,
    /// An answer to a ping.
    Pong,
}

impl Frame {
    /// Reads the header at the front of `bytes`: the frame and its header's length, `None` when the
    /// header is not whole. Errors: 1002 for what no client may send in any state (RFC 6455, 5.1,
    /// 5.2, 5.5).
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let mut cursor = Cursor::new(bytes);
        let Some((header, length)) =
            FrameHeader::parse(&mut cursor).map_err(|_| RESERVED_OPCODE)?
        else {
            return Ok(None);
        };
        let Some(mask) = header.mask else {
            return Err(broken("unmasked frame"));
        };
        let header_bytes = header.len(length);
        if cursor.position() != header_bytes as u64 {
            return Err(broken("length not in its shortest form"));
        }
        if length > i64::MAX as u64 {
            return Err(broken("length beyond 63 bits"));
        }
        if header.rsv2 || header.rsv3 {
            return Err(broken("reserved bit set"));
        }
        let kind = kind(header.opcode)?;
        if header.rsv1 && !matches!(kind, Kind::Text | Kind::Binary) {
            return Err(broken("reserved bit set"));
        }
        if matches!(kind, Kind::Control(_))
            && (!header.is_final || length > CONTROL_BYTES_MAX as u64)
        {
            return Err(broken("control frame fragmented or too long"));
        }
        let frame = Self {
            kind,
            is_final: header.is_final,
            is_compressed: header.rsv1,
            mask,
            // Where a length does not fit, no bound on a message lets it pass either.
            left_bytes: usize::try_from(length).unwrap_or(usize::MAX),
        };
        Ok(Some((frame, header_bytes)))
    }

    /// A control frame or an unfragmented message: nothing before or behind it belongs to it.
    pub fn is_whole_event(&self) -> bool {
        match self.kind {
            Kind::Control(_) => true,
            Kind::Text | Kind::Binary => self.is_final,
            Kind::Continuation => false,
        }
    }

    /// Unmasks the next piece of the payload in place and counts it off. `piece` is at most what is
    /// left.
    pub fn take(&mut self, piece: &mut [u8]) {
        unmask(piece, self.mask);
        self.mask.rotate_left(piece.len() % 4);
        self.left_bytes -= piece.len();
    }
}

/// A whole unmasked text frame.
pub fn text_frame(payload: &[u8]) -> Bytes {
    encode(OpCode::Data(Data::Text), false, [payload, &[]])
}

/// A whole unmasked text frame whose payload was compressed (RSV1 set).
pub fn compressed_text_frame(compressed: &[u8]) -> Bytes {
    encode(OpCode::Data(Data::Text), true, [compressed, &[]])
}

/// A whole unmasked binary frame.
pub fn binary_frame(payload: &[u8]) -> Bytes {
    encode(OpCode::Data(Data::Binary), false, [payload, &[]])
}

/// A ping without payload; costs no heap.
pub fn ping_frame() -> Bytes {
    Bytes::from_static(&[0x89, 0x00])
}

/// A pong that echoes `payload`, of which at most [`CONTROL_BYTES_MAX`] are taken.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    encode(
        OpCode::Control(coding::Control::Pong),
        false,
        [payload, &[]],
    )
}

/// A close frame. 1005, 1006 and 1015 are never on the wire (RFC 6455, 7.4.1): they send none of
/// code and reason. A reason is cut to 123 bytes at a character.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    if matches!(code, 1005 | 1006 | 1015) {
        return Bytes::from_static(&[0x88, 0x00]);
    }
    let code = code.to_be_bytes();
    let mut end = reason.len().min(CONTROL_BYTES_MAX - code.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    encode(
        OpCode::Control(coding::Control::Close),
        false,
        [&code, &reason.as_bytes()[..end]],
    )
}

/// The payload of a frame that one of the functions above made, by reference.
pub fn payload_of(frame: &Bytes) -> Bytes {
    let header_bytes = match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    };
    frame.slice(header_bytes.min(frame.len())..)
}

const RESERVED_OPCODE: Violation = broken("reserved opcode");

/// A breach of the protocol, close code 1002.
pub(super) const fn broken(reason: &'static str) -> Violation {
    Violation { code: 1002, reason }
}

fn kind(opcode: OpCode) -> Result<Kind, Violation> {
    match opcode {
        OpCode::Data(Data::Text) => Ok(Kind::Text),
        OpCode::Data(Data::Binary) => Ok(Kind::Binary),
        OpCode::Data(Data::Continue) => Ok(Kind::Continuation),
        OpCode::Control(coding::Control::Close) => Ok(Kind::Control(Control::Close)),
        OpCode::Control(coding::Control::Ping) => Ok(Kind::Control(Control::Ping)),
        OpCode::Control(coding::Control::Pong) => Ok(Kind::Control(Control::Pong)),
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(coding::Control::Reserved(_)) => {
            Err(RESERVED_OPCODE)
        }
    }
}

/// Eight bytes at a time; the mask is applied by position (RFC 6455, 5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

/// Exact capacity, so that `Bytes` takes the vector over as it is.
fn encode(opcode: OpCode, is_compressed: bool, parts: [&[u8]; 2]) -> Bytes {
    let header = FrameHeader {
        opcode,
        rsv1: is_compressed,
        ..FrameHeader::default()
    };
    let payload_bytes = parts[0].len() + parts[1].len();
    let mut frame = Vec::with_capacity(header.len(payload_bytes as u64) + payload_bytes);
    let written = header.format(payload_bytes as u64, &mut frame);
    debug_assert!(written.is_ok(), "a vector takes every write");
    frame.extend_from_slice(parts[0]);
    frame.extend_from_slice(parts[1]);
    Bytes::from(frame)
}

#[cfg(test)]
mod tests {
    use std::io;

    use tungstenite::Message;
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

    use super::*;

    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    #[track_caller]
    fn check_broken(head: &[u8], extended: &[u8]) {
        let bytes = [head, extended, &MASK].concat();
        assert_eq!(
            Frame::parse(&bytes).map_err(|violation| violation.code),
            Err(1002),
            "{bytes:x?}"
        );
        for len in 0..bytes.len() - 1 {
            assert!(matches!(
                Frame::parse(&bytes[..len]),
                Ok(None) | Err(Violation { code: 1002, .. })
            ));
        }
    }

    #[track_caller]
    fn check_read(
        bytes: &[u8],
        kind: Kind,
        is_final: bool,
        is_compressed: bool,
        left_bytes: usize,
    ) {
        let bytes = [bytes, &MASK].concat();
        let expected = Frame {
            kind,
            is_final,
            is_compressed,
            mask: MASK,
            left_bytes,
        };
        assert_eq!(Frame::parse(&bytes), Ok(Some((expected, bytes.len()))));
        assert_eq!(
            Frame::parse(&[&bytes[..], b"rest"].concat()),
            Ok(Some((expected, bytes.len())))
        );
        for len in 0..bytes.len() {
            assert_eq!(
                Frame::parse(&bytes[..len]),
                Ok(None),
                "{len} bytes of {bytes:x?}"
            );
        }
    }

    #[test]
    fn headers_that_are_right() {
        check_read(&[0x81, 0x80], Kind::Text, true, false, 0);
        check_read(&[0x01, 0x80 | 125], Kind::Text, false, false, 125);
        check_read(&[0xC1, 0x85], Kind::Text, true, true, 5);
        check_read(&[0x42, 0x85], Kind::Binary, false, true, 5);
        check_read(&[0x00, 0x81], Kind::Continuation, false, false, 1);
        check_read(&[0x80, 0x81], Kind::Continuation, true, false, 1);
        check_read(&[0x82, 0xFE, 0, 126], Kind::Binary, true, false, 126);
        check_read(&[0x82, 0xFE, 0xFF, 0xFF], Kind::Binary, true, false, 65_535);
        check_read(
            &[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0],
            Kind::Binary,
            true,
            false,
            65_536,
        );
        check_read(
            &[0x81, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255],
            Kind::Text,
            true,
            false,
            i64::MAX as usize,
        );
        check_read(&[0x88, 0x80], Kind::Control(Control::Close), true, false, 0);
        check_read(
            &[0x89, 0x80 | 125],
            Kind::Control(Control::Ping),
            true,
            false,
            125,
        );
        check_read(&[0x8A, 0x81], Kind::Control(Control::Pong), true, false, 1);
    }

    #[test]
    fn headers_that_are_not() {
        for opcode in (0x3..=0x7).chain(0xB..=0xF) {
            check_broken(&[0x80 | opcode, 0x80], &[]);
        }
        for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xA] {
            check_broken(&[0x80 | opcode, 0x00], &[]);
            for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
                check_broken(&[0x80 | bits | opcode, 0x80], &[]);
            }
            check_broken(&[0x80 | opcode, 0xFE], &[0, 125]);
            check_broken(&[0x80 | opcode, 0xFE], &[0, 0]);
            check_broken(&[0x80 | opcode, 0xFF], &[0, 0, 0, 0, 0, 0, 0, 125]);
            check_broken(&[0x80 | opcode, 0xFF], &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF]);
            check_broken(&[0x80 | opcode, 0xFF], &[0x80, 0, 0, 0, 0, 0, 0, 0]);
            check_broken(&[0x80 | opcode, 0xFF], &[0xFF; 8]);
        }
        for opcode in [0x8, 0x9, 0xA] {
            check_broken(&[opcode, 0x80], &[]);
            check_broken(&[0x80 | opcode, 0xFE], &[0, 126]);
            check_broken(&[0x80 | opcode, 0xFF], &[0, 0, 0, 0, 0, 1, 0, 0]);
        }
        for first in [0x40, 0xC0, 0xC8, 0xC9, 0xCA] {
            check_broken(&[first, 0x80], &[]);
        }
    }

    #[test]
    fn unmasks_in_any_pieces() {
        let plain: Vec<u8> = (0..40).collect();
        let masked: Vec<u8> = plain
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ MASK[at % 4])
            .collect();
        for first in 0..=plain.len() {
            for second in first..=plain.len() {
                let header = [&[0x82, 0x80 | 40][..], &MASK].concat();
                let Ok(Some((mut frame, _))) = Frame::parse(&header) else {
                    panic!("a valid header")
                };
                let mut bytes = masked.clone();
                frame.take(&mut bytes[..first]);
                frame.take(&mut bytes[first..second]);
                assert_eq!(frame.left_bytes, plain.len() - second);
                frame.take(&mut bytes[second..]);
                assert_eq!((bytes, frame.left_bytes), (plain.clone(), 0));
            }
        }
    }

    /// What tungstenite's client reads out of our frames.
    #[track_caller]
    fn check_client_reads(frame: Bytes, expected: Message) {
        let config = WebSocketConfig::default().max_frame_size(None);
        let stream = io::Cursor::new(frame.to_vec());
        let mut client = WebSocket::from_raw_socket(stream, Role::Client, Some(config));
        assert_eq!(client.read().ok().as_ref(), Some(&expected));
        assert_eq!(payload_of(&frame), expected.into_data());
    }

    #[test]
    fn a_client_reads_our_frames() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let payload = "x".repeat(len);
            check_client_reads(
                text_frame(payload.as_bytes()),
                Message::text(payload.clone()),
            );
            check_client_reads(
                binary_frame(payload.as_bytes()),
                Message::binary(payload.clone().into_bytes()),
            );
            let compressed = compressed_text_frame(payload.as_bytes());
            assert_eq!(compressed[0], 0xC1);
            assert_eq!(compressed[1..], text_frame(payload.as_bytes())[1..]);
            assert_eq!(payload_of(&compressed), payload);
        }
        check_client_reads(ping_frame(), Message::Ping(Bytes::new()));
        check_client_reads(
            pong_frame(b"abc"),
            Message::Pong(Bytes::from_static(b"abc")),
        );
        check_client_reads(
            pong_frame(&[7; 200]),
            Message::Pong(Bytes::from(vec![7; CONTROL_BYTES_MAX])),
        );
    }

    #[test]
    fn our_frames_share_and_fit() {
        let frame = text_frame(&[b'x'; 1_000]);
        assert_eq!(payload_of(&frame).as_ptr(), frame[4..].as_ptr());
        assert_eq!(frame.len(), 1_004);
        assert_eq!(payload_of(&Bytes::new()), Bytes::new());
        assert_eq!(
            payload_of(&Bytes::from_static(&[0x81, 0x7E, 0])),
            Bytes::new()
        );
    }

    #[test]
    fn close_frames() {
        for code in [1005, 1006, 1015] {
            assert_eq!(close_frame(code, "reason"), Bytes::from_static(b"\x88\x00"));
        }
        assert_eq!(
            close_frame(1000, ""),
            Bytes::from_static(b"\x88\x02\x03\xE8")
        );
        assert_eq!(
            close_frame(1007, "bad data format"),
            Bytes::from_static(b"\x88\x11\x03\xEFbad data format")
        );
        let long = "a".repeat(122) + "é";
        assert_eq!(
            payload_of(&close_frame(1000, &long))[2..],
            long.as_bytes()[..122]
        );
        assert_eq!(
            close_frame(1000, &"b".repeat(500)).len(),
            2 + CONTROL_BYTES_MAX
        );
        let fits = "a".repeat(121) + "é";
        assert_eq!(payload_of(&close_frame(1000, &fits))[2..], *fits.as_bytes());
    }
}
