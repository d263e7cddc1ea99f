//! permessage-deflate in both directions (RFC 7692), without context takeover.

use jdserver::limits::DEFLATE_BYTES_MIN;

use crate::common::http::{get, push};
use crate::common::server::Server;
use crate::common::websocket::{BINARY, Message, PING, RSV1, TEXT, Ws, deflate, frame, inflate};
use crate::echoing;

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

#[track_caller]
fn open(server: &Server, path: &str) -> Ws {
    let ws = Ws::open_at(server, path, OFFER);
    assert!(
        ws.extensions.starts_with("permessage-deflate"),
        "{:?}",
        ws.extensions
    );
    ws
}

/// Text that shrinks to a fraction.
fn compressible(length: usize) -> String {
    "jdserver pushes messages. "
        .chars()
        .cycle()
        .take(length)
        .collect()
}

/// Text that no deflate makes smaller: every byte drawn from 90 characters that do not repeat.
fn incompressible(length: usize) -> String {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Three bytes of UTF-8 from a range of 16,384 carry 14 bits in 24.
        char::from_u32(0x4e00 + (state >> 40) as u32 % 0x4000).expect("in the CJK block")
    };
    (0..length).map(|_| draw()).collect()
}

#[test]
fn negotiation() {
    let server = Server::start();
    #[track_caller]
    fn check(server: &Server, offer: &str, agreed: bool) {
        let ws = Ws::open_at(
            server,
            "/",
            &format!("Sec-WebSocket-Extensions: {offer}\r\n"),
        );
        let mut parameters = ws.extensions.split(';').map(str::trim);
        let name = parameters.next().unwrap_or_default();
        assert_eq!(
            name == "permessage-deflate",
            agreed,
            "{offer:?}: {:?}",
            ws.extensions
        );
        let parameters: Vec<&str> = parameters.collect();
        if agreed {
            assert!(
                parameters.contains(&"server_no_context_takeover"),
                "{offer:?}: {parameters:?}"
            );
            assert!(
                parameters.contains(&"client_no_context_takeover"),
                "{offer:?}: {parameters:?}"
            );
        }
        let window = parameters
            .iter()
            .any(|parameter| parameter.starts_with("client_max_window_bits"));
        assert!(
            !window || offer.contains("client_max_window_bits"),
            "not offered: {parameters:?}"
        );
    }
    check(&server, "permessage-deflate", true);
    check(&server, "permessage-deflate; client_max_window_bits", true);
    check(
        &server,
        "permessage-deflate; client_max_window_bits=15",
        true,
    );
    check(
        &server,
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        true,
    );
    check(
        &server,
        "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        true,
    );
    check(
        &server,
        "permessage-deflate; no_such=1, permessage-deflate",
        true,
    );
    check(
        &server,
        "foo, bar; baz=\"q\"\r\nSec-WebSocket-Extensions: permessage-deflate",
        true,
    );
    check(&server, "x-webkit-deflate-frame", false);
    check(&server, "permessage-deflate-x", false);
    check(&server, "permessage-deflate; no_such", false);
    check(
        &server,
        "permessage-deflate; client_max_window_bits=7",
        false,
    );
    check(
        &server,
        "permessage-deflate; client_max_window_bits=16",
        false,
    );
    check(&server, "permessage-deflate; server_max_window_bits", false);
    check(
        &server,
        "permessage-deflate; server_no_context_takeover=1",
        false,
    );
    check(
        &server,
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        false,
    );
    let off = Server::configured("deflate = false\n");
    check(&off, "permessage-deflate", false);
}

#[test]
fn one_push_to_receivers_with_and_without() {
    let server = Server::start();
    let mut with = open(&server, "/");
    with.init("d", "with");
    let mut without = Ws::user(&server, "d", "without");
    // Twice, so that a compressor that carries anything over is found out.
    for _ in 0..2 {
        let message = compressible(3000);
        assert_eq!(push(&server, "d", "*", &message), 2);
        let compressed = with.frame().expect("a frame");
        assert_eq!(compressed.first, TEXT | RSV1);
        assert!(
            compressed.payload.len() < 300,
            "{} bytes",
            compressed.payload.len()
        );
        assert_eq!(inflate(&compressed.payload), message.as_bytes());
        let plain = without.frame().expect("a frame");
        assert_eq!((plain.first, plain.payload), (TEXT, message.into_bytes()));
    }
}

#[test]
fn only_where_it_makes_smaller() {
    let server = Server::start();
    let mut ws = open(&server, "/");
    ws.init("d", "u");
    let noise = incompressible(2000);
    for (message, wanted) in [
        (compressible(DEFLATE_BYTES_MIN - 1), TEXT),
        (compressible(DEFLATE_BYTES_MIN), TEXT | RSV1),
        (compressible(100_000), TEXT | RSV1),
    ] {
        assert_eq!(push(&server, "d", "u", &message), 1);
        let frame = ws.frame().expect("a frame");
        assert_eq!(frame.first, wanted, "{} bytes", message.len());
    }
    assert_eq!(push(&server, "d", "u", &noise), 1);
    let frame = ws.frame().expect("a frame");
    assert!(frame.payload.len() <= noise.len(), "larger than it was");
    if frame.first == TEXT | RSV1 {
        assert_eq!(inflate(&frame.payload), noise.as_bytes());
    } else {
        assert_eq!(frame.payload, noise.as_bytes());
    }
}

#[test]
fn compressed_messages_are_understood() {
    let server = echoing();
    let mut ws = open(&server, "/echo");
    for length in [0, 1, 100, 255, 256, 5000, 70_000, 1 << 20] {
        let text = compressible(length);
        ws.send(TEXT | RSV1, &deflate(text.as_bytes()));
        assert!(ws.message() == Message::Text(text), "{length}");
        let noise = incompressible(length / 3);
        ws.send(BINARY | RSV1, &deflate(noise.as_bytes()));
        assert!(
            ws.message() == Message::Binary(noise.into_bytes()),
            "{length}"
        );
        // Not every message has to be compressed.
        ws.send_text("plain");
        assert_eq!(ws.text(), "plain");
    }
}

#[test]
fn the_examples_of_the_rfc() {
    let server = echoing();
    let mut ws = open(&server, "/echo");
    let examples: &[&[u8]] = &[
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        // Without compression.
        &[
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ],
        // BFINAL set, an empty block behind it.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        // Two blocks.
        &[
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ],
    ];
    for example in examples {
        ws.send(TEXT | RSV1, example);
        assert_eq!(ws.text(), "Hello", "{example:x?}");
        for cut in 0..=example.len() {
            ws.send(0x01 | RSV1, &example[..cut]);
            ws.send(PING, b"between");
            ws.send(0x80, &example[cut..]);
            assert_eq!(ws.message(), Message::Pong(b"between".to_vec()));
            assert_eq!(ws.text(), "Hello", "{example:x?} cut at {cut}");
        }
    }
    ws.send(TEXT | RSV1, &[0x00]);
    assert_eq!(ws.text(), "");
}

#[test]
fn a_call_in_a_compressed_message() {
    let server = Server::start();
    let mut ws = open(&server, "/");
    ws.send(
        TEXT | RSV1,
        &deflate(br#"{"ac":"init","app":"dz","user":"u"}"#),
    );
    assert_eq!(ws.text(), "OK");
    assert_eq!(get(&server, "/getUsers?app=dz"), "[0,[\"u\"]]\n");
    let long = format!(
        r#"{{"ac":"push","app":"dz","user":"u","msg":"{}"}}"#,
        compressible(2000)
    );
    ws.send(TEXT | RSV1, &deflate(long.as_bytes()));
    assert_eq!(ws.text(), compressible(2000));
    assert_eq!(ws.text(), "1");
}

#[test]
fn violations() {
    let server = echoing();
    #[track_caller]
    fn check(server: &Server, bytes: &[u8], codes: &[u16]) {
        let mut ws = open(server, "/echo");
        ws.conn.send(bytes);
        let message = ws.message();
        assert!(
            matches!(message, Message::Close(code, _) if codes.contains(&code)),
            "{codes:?}: {message:?}"
        );
    }
    let hello = deflate(b"Hello");
    // RSV1 belongs to the first frame of a message, never to a control frame (RFC 7692, 6.1).
    let continued = [
        frame(0x01 | RSV1, &hello[..3]),
        frame(0x80 | RSV1, &hello[3..]),
    ]
    .concat();
    check(&server, &continued, &[1002]);
    check(
        &server,
        &[frame(0x01, b"a"), frame(0x80 | RSV1, b"b")].concat(),
        &[1002],
    );
    check(&server, &frame(PING | RSV1, b""), &[1002]);
    check(&server, &frame(TEXT | 0x20, b"x"), &[1002]);
    // What does not inflate, and what inflates to no text.
    check(
        &server,
        &frame(TEXT | RSV1, b"\xff\xff\xff\xff"),
        &[1002, 1007],
    );
    check(&server, &frame(TEXT | RSV1, &[0x06]), &[1002, 1007]);
    check(&server, &frame(TEXT | RSV1, &deflate(b"\xff")), &[1007]);
    check(
        &server,
        &frame(TEXT | RSV1, &deflate(b"cut \xe2\x82")),
        &[1007],
    );
    // Ten mebibytes of zeros come in few bytes; the bound is on what they become.
    let bomb = deflate(&vec![0; 10 << 20]);
    assert!(bomb.len() < 100_000);
    check(&server, &frame(BINARY | RSV1, &bomb), &[1009]);
    let pieces: Vec<u8> = bomb
        .chunks(1000)
        .enumerate()
        .flat_map(|(n, piece)| frame(if n == 0 { 0x02 | RSV1 } else { 0x00 }, piece))
        .chain(frame(0x80, b""))
        .collect();
    check(&server, &pieces, &[1009]);
}
