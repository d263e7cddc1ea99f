//! The closing handshake in both directions (RFC 6455, 7).

use crate::common::http::{get, wait_alone, wait_users};
use crate::common::server::Server;
use crate::common::websocket::{CLOSE, Message, TEXT, Ws, frame};
use crate::{echo, echoing};

/// A close frame's payload.
fn payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

#[test]
fn a_client_closes() {
    let server = Server::start();
    for (sent, code) in [
        (Vec::new(), 1005),
        (payload(1000, b""), 1000),
        (payload(1000, b"bye"), 1000),
        (payload(1001, b"going"), 1001),
        (payload(1003, b""), 1003),
        (payload(1007, b""), 1007),
        (payload(1011, b""), 1011),
        (payload(1014, b""), 1014),
        (payload(3000, "grüße".as_bytes()), 3000),
        (payload(4999, &[b'x'; 123]), 4999),
    ] {
        let mut ws = Ws::user(&server, "close", "u");
        ws.send(CLOSE, &sent);
        let answer = ws.message();
        assert!(
            matches!(answer, Message::Close(got, _) if got == code),
            "{code}: {answer:?}"
        );
        assert_eq!(
            ws.message(),
            Message::End,
            "the server closes the connection first"
        );
        wait_users(&server, "close", "[]");
    }
}

#[test]
fn close_frames_of_wrong_form() {
    let server = Server::start();
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        let mut ws = Ws::open(&server);
        ws.send(CLOSE, &payload(code, b"x"));
        ws.closed(1002);
    }
    let mut ws = Ws::open(&server);
    ws.send(CLOSE, &[3]);
    ws.closed(1002);
    let mut ws = Ws::open(&server);
    ws.send(CLOSE, &payload(1000, b"\xff"));
    ws.closed(1007);
}

#[test]
fn nothing_behind_a_close_is_read() {
    let server = echoing();
    let mut ws = echo(&server);
    ws.conn.send(
        [
            frame(TEXT, b"before"),
            frame(CLOSE, &payload(1000, b"")),
            frame(TEXT, b"behind"),
        ]
        .concat(),
    );
    assert_eq!(ws.text(), "before");
    assert_eq!(ws.message(), Message::Close(1000, String::new()));
    assert_eq!(ws.message(), Message::End);
}

#[test]
fn a_close_between_fragments() {
    let server = echoing();
    let mut ws = echo(&server);
    ws.conn
        .send([frame(0x01, b"half"), frame(CLOSE, &payload(1000, b""))].concat());
    assert_eq!(ws.message(), Message::Close(1000, String::new()));
    assert_eq!(ws.message(), Message::End);
}

#[test]
fn the_server_closes_and_waits_for_the_answer() {
    let server = Server::start();
    let mut ws = Ws::open(&server);
    ws.send_text(r#"{"ac":"alive"}"#);
    assert_eq!(ws.text(), "*** error: require init");
    assert_eq!(ws.closed(1000), "");
    let mut ws = Ws::open(&server);
    ws.send_text("no json");
    assert_eq!(ws.text(), "*** require json data. but recv: no json");
    assert_eq!(ws.closed(1007), "bad data format");
}

#[test]
fn a_client_that_never_answers_a_close_is_cut() {
    let server = Server::configured("close_timeout = 0.2\n");
    let mut ws = Ws::user(&server, "cut", "u");
    ws.send_text("no json");
    ws.text();
    assert!(matches!(ws.message(), Message::Close(1007, _)));
    wait_alone(&server);
    assert_eq!(ws.message(), Message::End);
}

#[test]
fn a_client_that_never_ends_its_connection_is_cut() {
    let server = Server::start();
    let mut ws = Ws::user(&server, "cut", "u");
    ws.send(CLOSE, &payload(1000, b""));
    assert_eq!(ws.message(), Message::Close(1000, String::new()));
    wait_alone(&server);
    assert_eq!(ws.message(), Message::End);
}

#[test]
fn one_that_is_closing_is_not_online() {
    let server = Server::start();
    let mut ws = Ws::user(&server, "late", "u");
    ws.send_text("no json");
    ws.text();
    assert!(matches!(ws.message(), Message::Close(1007, _)));
    // No message may follow a close frame (RFC 6455, 5.5.1), so none may be counted.
    assert_eq!(get(&server, "/push?app=late&user=u&msg=x"), "[0,0]\n");
    assert_eq!(get(&server, "/getUsers?app=late"), "[0,[]]\n");
}

#[test]
fn a_connection_that_ends_without_a_close() {
    let server = Server::start();
    let ws = Ws::user(&server, "gone", "u");
    let mut half = Ws::user(&server, "gone", "half");
    drop(ws);
    wait_users(&server, "gone", r#"["half"]"#);
    half.conn.half_close();
    wait_users(&server, "gone", "[]");
}
