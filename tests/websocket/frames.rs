//! Messages, fragments and pings that keep all rules (RFC 6455, 5).

use jdserver::limits::BODY_BYTES_MAX;

use crate::common::http::get;
use crate::common::server::Server;
use crate::common::websocket::{BINARY, Message, PING, PONG, TEXT, Ws, frame};
use crate::{echo, echoing};

/// First bytes of fragments.
const TEXT_START: u8 = 0x01;
const BINARY_START: u8 = 0x02;
const CONTINUATION: u8 = 0x00;
const LAST: u8 = 0x80;

#[test]
fn text_and_binary_of_every_length_form() {
    let server = echoing();
    let mut ws = echo(&server);
    for length in [
        0,
        1,
        2,
        124,
        125,
        126,
        127,
        1000,
        65_535,
        65_536,
        65_537,
        300_000,
        BODY_BYTES_MAX,
    ] {
        let bytes: Vec<u8> = (0..length).map(|n| (n * 31 % 251) as u8).collect();
        let text: String = bytes
            .iter()
            .map(|byte| char::from(b'a' + byte % 26))
            .collect();
        ws.send(BINARY, &bytes);
        assert!(ws.message() == Message::Binary(bytes), "binary of {length}");
        ws.send_text(&text);
        assert!(ws.message() == Message::Text(text), "text of {length}");
    }
}

#[test]
fn without_the_switch_there_is_no_echo() {
    let server = Server::start();
    let mut ws = echo(&server);
    ws.init("e", "u");
    ws.send_text(r#"{"ac":"alive"}"#);
    assert_eq!(ws.text(), "OK");
}

#[test]
fn fragments_with_pings_between_them() {
    let server = echoing();
    let mut ws = echo(&server);
    ws.send(TEXT_START, b"one ");
    ws.send(PING, b"first");
    assert_eq!(ws.message(), Message::Pong(b"first".to_vec()));
    ws.send(CONTINUATION, "zwölf ".as_bytes());
    ws.send(PONG, b"nobody asked");
    ws.send(CONTINUATION, b"");
    ws.send(PING, b"");
    assert_eq!(ws.message(), Message::Pong(Vec::new()));
    ws.send(LAST, b"end");
    assert_eq!(ws.message(), Message::Text("one zwölf end".into()));
    for parts in [
        &[&b""[..], b"", b""][..],
        &[b"", b"x"],
        &[b"x", b""],
        &[b"a", b"b", b"c", b"d"],
    ] {
        for (n, part) in parts.iter().enumerate() {
            let code = if n == 0 { BINARY_START } else { CONTINUATION };
            ws.send(
                if n + 1 == parts.len() {
                    code | LAST
                } else {
                    code
                },
                part,
            );
        }
        assert_eq!(ws.message(), Message::Binary(parts.concat()));
    }
}

#[test]
fn a_character_cut_by_fragments() {
    let server = echoing();
    let mut ws = echo(&server);
    let text = "é€𝄞\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\u{feff}\0";
    for byte in text
        .as_bytes()
        .chunks(1)
        .enumerate()
        .map(|(n, byte)| (if n == 0 { TEXT_START } else { 0 }, byte))
    {
        ws.send(byte.0, byte.1);
    }
    ws.send(LAST, b"");
    assert_eq!(ws.message(), Message::Text(text.into()));
}

#[test]
fn pings_are_answered_with_their_payload() {
    let server = Server::start();
    let mut ws = Ws::open(&server);
    for length in [0, 1, 124, 125] {
        let payload: Vec<u8> = (0..length).map(|n| n as u8 | 0x80).collect();
        ws.send(PING, &payload);
        assert_eq!(ws.message(), Message::Pong(payload));
    }
    ws.send(PONG, b"unasked");
    ws.send(PONG, b"");
    ws.init("p", "u");
    ws.quiet();
}

#[test]
fn every_split_of_a_conversation() {
    let server = echoing();
    let long = "x".repeat(130);
    let bytes = [
        frame(TEXT_START, "zwö".as_bytes()),
        frame(PING, b"p"),
        frame(LAST, "lf".as_bytes()),
        frame(BINARY, long.as_bytes()),
        frame(TEXT, b""),
    ]
    .concat();
    let mut ws = echo(&server);
    for split in 0..=bytes.len() {
        ws.conn.send(&bytes[..split]);
        // The reactor is one thread: once it answers this it has seen the first part.
        get(&server, "/getUsers?app=nobody");
        ws.conn.send(&bytes[split..]);
        assert_eq!(
            ws.message(),
            Message::Pong(b"p".to_vec()),
            "split at {split}"
        );
        assert_eq!(
            ws.message(),
            Message::Text("zwölf".into()),
            "split at {split}"
        );
        assert_eq!(
            ws.message(),
            Message::Binary(long.clone().into_bytes()),
            "split at {split}"
        );
        assert_eq!(
            ws.message(),
            Message::Text(String::new()),
            "split at {split}"
        );
    }
}

#[test]
fn many_messages_in_one_write_keep_their_order() {
    let server = echoing();
    let mut ws = echo(&server);
    let texts: Vec<String> = (0..2000).map(|n| format!("message {n}")).collect();
    ws.conn.send(
        texts
            .iter()
            .flat_map(|text| frame(TEXT, text.as_bytes()))
            .collect::<Vec<u8>>(),
    );
    for text in texts {
        assert_eq!(ws.message(), Message::Text(text));
    }
}
