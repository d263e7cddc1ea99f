//! Each rule by tables, at each split point, with tungstenite's own encoder as the peer.

use bytes::Bytes;
use tungstenite::protocol::frame::Frame as PeerFrame;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

use super::*;

mod streams;

const MAX: usize = 1 << 20;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// What a peer said, without a borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16, String),
    Broke(u16),
}

/// A peer's frame with `first` as its first byte, by tungstenite's encoder.
fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let header = FrameHeader {
        is_final: first & FIN != 0,
        rsv1: first & RSV1 != 0,
        rsv2: false,
        rsv3: false,
        opcode: OpCode::from(first & 0x0F),
        mask: Some(mask),
    };
    let mut bytes = Vec::new();
    PeerFrame::from_payload(header, Bytes::copy_from_slice(payload))
        .format(&mut bytes)
        .expect("a vector takes it");
    bytes
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, MASK)
}

/// Feeds `pieces` one after the other, as a connection does, and ends at the first violation.
fn hear<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    max: usize,
    mut deflate: Option<&mut Deflate>,
) -> (Vec<Said>, Decoder) {
    let mut decoder = Decoder::default();
    let mut heard = Vec::new();
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut at = 0;
        loop {
            let rest_bytes = bytes.len() - at;
            match decoder.poll_event(&mut bytes[at..], max, deflate.as_deref_mut()) {
                Ok((used, None)) => {
                    assert_eq!(used, rest_bytes, "without an event everything is used");
                    break;
                }
                Ok((used, Some(event))) => {
                    at += used;
                    heard.push(match event {
                        Event::Text(text) => Said::Text(text.into_owned()),
                        Event::Binary(bytes) => Said::Binary(bytes.into_owned()),
                        Event::Ping(payload) => Said::Ping(payload.to_vec()),
                        Event::Pong => Said::Pong,
                        Event::Close(code, reason) => Said::Close(code, reason.to_owned()),
                    });
                }
                Err(violation) => {
                    heard.push(Said::Broke(violation.code));
                    return (heard, decoder);
                }
            }
        }
    }
    (heard, decoder)
}

/// The stream in one piece, cut in two at every point, and byte by byte.
#[track_caller]
fn check_within(stream: &[u8], max: usize, is_deflate_agreed: bool, expected: &[Said]) {
    let mut shared = Deflate::default();
    let mut hear =
        |pieces: Vec<&[u8]>| hear(pieces, max, is_deflate_agreed.then_some(&mut shared)).0;
    assert_eq!(hear(vec![stream]), expected, "whole");
    for cut in 0..=stream.len() {
        assert_eq!(
            hear(vec![&stream[..cut], &stream[cut..]]),
            expected,
            "cut at {cut}"
        );
    }
    assert_eq!(hear(stream.chunks(1).collect()), expected, "byte by byte");
}

#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[Said]) {
    check_within(&frames.concat(), MAX, false, expected);
}

#[track_caller]
fn check_deflate(frames: &[Vec<u8>], expected: &[Said]) {
    check_within(&frames.concat(), MAX, true, expected);
}

fn text(text: &str) -> Said {
    Said::Text(text.to_owned())
}

const BROKE: [Said; 1] = [Said::Broke(1002)];
const NO_TEXT: [Said; 1] = [Said::Broke(1007)];
const BIG: [Said; 1] = [Said::Broke(1009)];

#[test]
fn single_frames() {
    check(&[frame(0x81, b"")], &[text("")]);
    check(
        &[frame(0x81, "订单10待审批".as_bytes())],
        &[text("订单10待审批")],
    );
    check(&[frame(0x82, b"\xFF\x00")], &[Said::Binary(vec![0xFF, 0])]);
    check(&[frame(0x82, b"")], &[Said::Binary(vec![])]);
    check(&[frame(0x89, b"")], &[Said::Ping(vec![])]);
    check(&[frame(0x89, &[7; 125])], &[Said::Ping(vec![7; 125])]);
    check(&[frame(0x8A, b"unasked")], &[Said::Pong]);
    check(&[masked(0x81, b"zero mask", [0; 4])], &[text("zero mask")]);
    check(&[], &[]);
}

#[test]
fn fragments_and_what_stands_between() {
    check(&[frame(0x01, b"Hel"), frame(0x80, b"lo")], &[text("Hello")]);
    check(
        &[frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")],
        &[text("")],
    );
    check(
        &[frame(0x02, b"a"), frame(0x00, b""), frame(0x80, b"\xFF")],
        &[Said::Binary(vec![b'a', 0xFF])],
    );
    check(
        &[
            frame(0x01, b"a"),
            frame(0x89, b"o"),
            frame(0x89, b"p"),
            frame(0x00, b"b"),
            frame(0x8A, b"q"),
            frame(0x80, b"c"),
            frame(0x81, b"d"),
        ],
        &[
            Said::Ping(b"o".to_vec()),
            Said::Ping(b"p".to_vec()),
            Said::Pong,
            text("abc"),
            text("d"),
        ],
    );
    let euro = "€".as_bytes();
    check(
        &[
            frame(0x01, &euro[..1]),
            frame(0x89, b""),
            frame(0x00, &euro[1..2]),
            frame(0x80, &euro[2..]),
        ],
        &[Said::Ping(vec![]), text("€")],
    );
    check(
        &[frame(0x01, b"a"), frame(0x88, b"\x03\xE8")],
        &[Said::Close(1000, String::new())],
    );
}

#[test]
fn order_of_frames() {
    check(&[frame(0x80, b"x")], &BROKE);
    check(&[frame(0x00, b"")], &BROKE);
    for second in [0x81, 0x82, 0x01, 0x02] {
        check(&[frame(0x01, b"x"), frame(second, b"y")], &BROKE);
    }
    check(
        &[frame(0x01, b"x"), frame(0x80, b"y"), frame(0x80, b"z")],
        &[text("xy"), Said::Broke(1002)],
    );
}

/// Bytes that no encoder makes; the headers themselves have their table in `frame`.
#[test]
fn broken_headers() {
    for (head, payload) in [
        (&[0x81, 0x01][..], &b"x"[..]),
        (&[0x83, 0x80], b""),
        (&[0x8B, 0x80], b""),
        (&[0xA1, 0x80], b""),
        (&[0x91, 0x80], b""),
        (&[0x09, 0x80], b""),
        (&[0x89, 0xFE, 0, 126], &[0; 126]),
        (&[0x81, 0xFE, 0, 5], b"hello"),
        (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 5], b"hello"),
        (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], b""),
    ] {
        check(&[[head, &MASK, payload].concat()], &BROKE);
        check(
            &[frame(0x81, b"before"), [head, &MASK, payload].concat()],
            &[text("before"), Said::Broke(1002)],
        );
        check(
            &[frame(0x01, b"before"), [head, &MASK, payload].concat()],
            &BROKE,
        );
    }
}

#[test]
fn close_frames() {
    check(&[frame(0x88, b"")], &[Said::Close(1005, String::new())]);
    check(&[frame(0x88, b"\x03")], &BROKE);
    check(
        &[frame(0x88, b"\x03\xE9bye \xC3\xA9")],
        &[Said::Close(1001, "bye é".to_owned())],
    );
    check(&[frame(0x88, b"\x03\xE8\xC3")], &NO_TEXT);
    check(&[frame(0x88, b"\x03\xE8\xED\xA0\x80")], &NO_TEXT);
    let allowed = |code: u16| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        assert!(!allowed(code));
        check(&[frame(0x88, &code.to_be_bytes())], &BROKE);
    }
    for code in (1000..=5000).filter(|&code| allowed(code)) {
        let heard = hear([&frame(0x88, &code.to_be_bytes())[..]], MAX, None).0;
        assert_eq!(heard, [Said::Close(code, String::new())]);
    }
}

#[test]
fn text_that_is_not_utf8() {
    for invalid in [
        &b"\xFF"[..],
        b"ab\xC0\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xC3",
        b"\xE4\xBD",
        b"\xF0\x9F\x98",
    ] {
        check(&[frame(0x81, invalid)], &NO_TEXT);
        check(&[frame(0x01, b"before"), frame(0x80, invalid)], &NO_TEXT);
        check(&[frame(0x01, invalid), frame(0x80, b"")], &NO_TEXT);
        check(&[frame(0x82, invalid)], &[Said::Binary(invalid.to_vec())]);
    }
    check(&[frame(0x01, b"\xC3"), frame(0x80, b"a")], &NO_TEXT);
}

#[test]
fn size_is_judged_by_the_header() {
    for (first, len) in [
        (0x81, 11),
        (0x01, 126),
        (0x82, 65_536),
        (0x02, u64::MAX >> 1),
    ] {
        let mut header = Vec::new();
        let announced = FrameHeader {
            is_final: first & FIN != 0,
            opcode: OpCode::from(first & 0x0F),
            mask: Some(MASK),
            ..FrameHeader::default()
        };
        announced
            .format(len, &mut header)
            .expect("a vector takes it");
        check_within(&header, 10, false, &BIG);
        let (heard, decoder) = hear([&header[..]], 10, None);
        assert_eq!((heard, decoder.held_bytes()), (BIG.to_vec(), 0));
    }
    check_within(
        &frame(0x81, b"0123456789"),
        10,
        false,
        &[text("0123456789")],
    );
    check_within(
        &[frame(0x01, b"01234"), frame(0x80, b"56789")].concat(),
        10,
        false,
        &[text("0123456789")],
    );
    check_within(
        &[frame(0x01, b"01234"), frame(0x80, b"56789a")].concat(),
        10,
        false,
        &BIG,
    );
    check_within(
        &[
            frame(0x02, b"0123456789"),
            frame(0x89, &[1; 20]),
            frame(0x00, b"a"),
        ]
        .concat(),
        10,
        false,
        &[Said::Ping(vec![1; 20]), Said::Broke(1009)],
    );
    check_within(&frame(0x81, b""), 0, false, &[text("")]);
    check_within(&frame(0x81, b"x"), 0, false, &BIG);
}

#[test]
fn compressed_messages() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    check_deflate(&[frame(0xC1, hello)], &[text("Hello")]);
    check_deflate(&[frame(0xC2, hello)], &[Said::Binary(b"Hello".to_vec())]);
    check_deflate(&[frame(0xC1, b"\x00")], &[text("")]);
    check_deflate(
        &[
            frame(0x41, &hello[..3]),
            frame(0x89, b"p"),
            frame(0x00, b""),
            frame(0x80, &hello[3..]),
        ],
        &[Said::Ping(b"p".to_vec()), text("Hello")],
    );
    check_deflate(
        &[
            frame(0xC1, hello),
            frame(0x81, b"plain"),
            frame(0xC1, hello),
        ],
        &[text("Hello"), text("plain"), text("Hello")],
    );
    check_deflate(&[frame(0xC1, b"")], &NO_TEXT);
    check_deflate(&[frame(0xC1, b"nonsense")], &NO_TEXT);
    check_deflate(&[frame(0xC1, b"\x00\x01\x00\xfe\xff\xff\x00")], &NO_TEXT);
    check_deflate(
        &[frame(0xC2, b"\x00\x01\x00\xfe\xff\xff\x00")],
        &[Said::Binary(vec![0xFF])],
    );
}

#[test]
fn the_compression_bit() {
    check(&[frame(0xC1, b"\x00")], &BROKE);
    check(&[frame(0x41, b"\x00")], &BROKE);
    check_deflate(&[frame(0x41, b""), frame(0xC0, b"\x00")], &BROKE);
    check_deflate(&[frame(0x01, b""), frame(0xC0, b"\x00")], &BROKE);
    for control in [0xC8, 0xC9, 0xCA] {
        check_deflate(&[frame(control, b"")], &BROKE);
    }
}
