//! A client's WebSocket stream: any cut gives the same events and the same violation, with and
//! without permessage-deflate; what is held stays bounded; what is compressed comes back.
#![no_main]

use std::cell::RefCell;

use jdserver::proto::deflate::Deflate;
use jdserver::proto::websocket::{Decoder, Event, Violation, close_frame, pong_frame};
use jdserver_fuzz::{client_frame, ways_to_cut};
use libfuzzer_sys::fuzz_target;

const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// A vector doubles, and the frame under way has its own state.
const HELD_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX + (1 << 10);

/// An event that owns what it says.
#[derive(Debug, PartialEq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16, String),
}

fn own(event: Event<'_>) -> Said {
    match event {
        Event::Text(text) => Said::Text(text.into_owned()),
        Event::Binary(bytes) => Said::Binary(bytes.into_owned()),
        Event::Ping(payload) => {
            assert!(pong_frame(payload).len() == payload.len() + 2);
            Said::Ping(payload.to_vec())
        }
        Event::Pong => Said::Pong,
        Event::Close(code, reason) => {
            assert!(close_frame(code, reason).len() <= 127);
            Said::Close(code, reason.to_owned())
        }
    }
}

fn read(
    data: &[u8],
    pieces: &[usize],
    mut deflate: Option<&mut Deflate>,
) -> (Vec<Said>, Option<Violation>) {
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    let mut stream = data.to_vec();
    let mut rest = &mut stream[..];
    for &piece in pieces {
        let (mut input, behind) = rest.split_at_mut(piece);
        rest = behind;
        while !input.is_empty() {
            let used = match decoder.poll_event(input, MESSAGE_BYTES_MAX, deflate.as_deref_mut()) {
                Err(violation) => return (said, Some(violation)),
                Ok((used, None)) => {
                    assert_eq!(used, input.len(), "without an event all is used");
                    used
                }
                Ok((used, Some(event))) => {
                    said.push(own(event));
                    used
                }
            };
            if let Some(Said::Close(..)) = said.last() {
                return (said, None);
            }
            assert!(used > 0, "an event costs bytes");
            assert!(decoder.held_bytes() <= HELD_BYTES_MAX);
            input = &mut input[used..];
        }
    }
    (said, None)
}

fn check(data: &[u8], deflate: &mut Deflate) {
    let [whole, cuts @ ..] = ways_to_cut(data);
    for with_deflate in [false, true] {
        let expected = read(data, &whole, with_deflate.then_some(&mut *deflate));
        for pieces in &cuts {
            let outcome = read(data, pieces, with_deflate.then_some(&mut *deflate));
            assert_eq!(
                outcome, expected,
                "deflate {with_deflate}, cut into {pieces:?}"
            );
        }
    }
}

/// `data` as a text or binary message comes back, in one frame and in several, plain and compressed.
fn check_round_trip(data: &[u8], deflate: &mut Deflate) {
    let (opcode, expected) = match std::str::from_utf8(data) {
        Ok(text) => (1, Said::Text(text.to_owned())),
        Err(_) => (2, Said::Binary(data.to_vec())),
    };
    let mask = [data.len() as u8, 0x5a, 0, 0xff];
    let (first, second) = data.split_at(data.len() / 3);
    let mut stream = client_frame(0x80 | opcode, data, mask);
    stream.extend(client_frame(opcode, first, mask));
    stream.extend(client_frame(0x89, b"between", mask));
    stream.extend(client_frame(0x80, second, mask));
    let mut messages = 2;
    if let Some(smaller) = deflate.compress(data) {
        assert!(smaller.len() < data.len());
        stream.extend(client_frame(0xc0 | opcode, &smaller, mask));
        messages += 1;
    }
    let (mut said, violation) = read(&stream, &[stream.len()], Some(deflate));
    assert_eq!(violation, None);
    said.retain(|event| *event != Said::Ping(b"between".to_vec()));
    assert!(said.len() == messages && said.iter().all(|event| *event == expected));
    check(&stream, deflate);
}

thread_local! {
    // One for all streams, as in the server, so that what one leaves behind would show in the next.
    static DEFLATE: RefCell<Deflate> = RefCell::default();
}

fuzz_target!(|data: &[u8]| {
    DEFLATE.with_borrow_mut(|deflate| {
        check(data, deflate);
        if data.len() <= MESSAGE_BYTES_MAX {
            check_round_trip(data, deflate);
        }
    });
});
