//! What a peer must not send, and the code that closes it (RFC 6455, 5, 7.4 and 8.1).

use crate::common::server::Server;
use crate::common::websocket::{BINARY, CLOSE, PING, RSV1, TEXT, Ws, frame};
use crate::{echo, echoing};

/// Sends `bytes` on a new connection, which must be closed with `code` without any other message.
#[track_caller]
fn check(server: &Server, bytes: impl AsRef<[u8]>, code: u16) {
    let mut ws = echo(server);
    ws.conn.send(bytes);
    ws.closed(code);
}

#[test]
fn frames_that_break_the_protocol() {
    let server = echoing();
    // Unmasked, whole or not.
    check(&server, [TEXT, 2, b'h', b'i'], 1002);
    check(&server, [PING, 0], 1002);
    check(&server, [TEXT, 5], 1002);
    for rsv in [0x10, 0x20, 0x30, RSV1, 0x70] {
        check(&server, frame(TEXT | rsv, b"hi"), 1002);
        check(&server, frame(PING | rsv, b"hi"), 1002);
    }
    for code in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        check(&server, frame(0x80 | code, b"hi"), 1002);
        check(&server, frame(code, b""), 1002);
    }
    for control in [CLOSE, PING, 0x8a] {
        check(&server, frame(control & 0x0f, b""), 1002);
        check(&server, frame(control, &[0; 126]), 1002);
    }
}

#[test]
fn fragments_out_of_place() {
    let server = echoing();
    check(&server, frame(0x80, b"no start"), 1002);
    check(&server, frame(0x00, b"no start"), 1002);
    check(
        &server,
        [frame(0x01, b"a"), frame(TEXT, b"b")].concat(),
        1002,
    );
    check(
        &server,
        [frame(0x01, b"a"), frame(0x02, b"b")].concat(),
        1002,
    );
    check(
        &server,
        [frame(0x02, b"a"), frame(0x00, b"b"), frame(BINARY, b"c")].concat(),
        1002,
    );
    // A finished message leaves nothing to continue.
    let mut ws = echo(&server);
    ws.conn
        .send([frame(0x01, b"a"), frame(0x80, b"b"), frame(0x80, b"c")].concat());
    assert_eq!(ws.text(), "ab");
    ws.closed(1002);
}

#[test]
fn lengths_that_are_not_minimal() {
    let server = echoing();
    let mask = [0; 4];
    let with =
        |length: &[u8], payload: usize| [&[BINARY][..], length, &mask, &vec![0; payload]].concat();
    check(&server, with(&[0x80 | 126, 0, 125], 125), 1002);
    check(&server, with(&[0x80 | 126, 0, 0], 0), 1002);
    check(
        &server,
        with(&[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 125], 125),
        1002,
    );
    check(
        &server,
        with(&[0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 65_535),
        1002,
    );
}

#[test]
fn messages_that_are_too_large() {
    let server = Server::setup()
        .argument("--echo")
        .settings("max_body = 2048\n")
        .start();
    let mut ws = echo(&server);
    let most = "x".repeat(2048);
    ws.send_text(&most);
    assert_eq!(ws.text(), most);
    check(&server, frame(TEXT, &[b'x'; 2049]), 1009);
    check(&server, frame(BINARY, &[0; 100_000]), 1009);
    // Refused by its length alone, before its payload comes.
    check(
        &server,
        [BINARY, 0x80 | 127, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4],
        1009,
    );
    let fragments = [
        frame(0x02, &[0; 1024]),
        frame(0x00, &[0; 1024]),
        frame(0x80, &[0; 1]),
    ];
    check(&server, fragments.concat(), 1009);
    let mut exact = echo(&server);
    exact.conn.send(
        [
            frame(0x02, &[0; 1024]),
            frame(0x00, &[0; 1024]),
            frame(0x80, &[]),
        ]
        .concat(),
    );
    assert_eq!(
        exact.message(),
        crate::common::websocket::Message::Binary(vec![0; 2048])
    );
}

#[test]
fn a_length_of_more_than_63_bits() {
    let server = echoing();
    let mut ws = echo(&server);
    ws.conn
        .send([BINARY, 0x80 | 127, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]);
    let message = ws.message();
    let codes = [1002, 1009];
    let crate::common::websocket::Message::Close(code, _) = message else {
        panic!("{message:?}")
    };
    assert!(codes.contains(&code), "{code}");
}

#[test]
fn text_that_is_not_utf8() {
    let server = echoing();
    let wrong: &[&[u8]] = &[
        b"\xff",
        b"a\x80",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9d\x84",
        b"\xc3\xc3\xa9",
        b"\xce\xba\xe1",
    ];
    for bytes in wrong {
        check(&server, frame(TEXT, bytes), 1007);
        // Cut at every point by a fragment.
        for cut in 0..=bytes.len() {
            check(
                &server,
                [frame(0x01, &bytes[..cut]), frame(0x80, &bytes[cut..])].concat(),
                1007,
            );
        }
    }
    // It is judged as it comes, not when the message ends.
    check(&server, frame(0x01, b"\xed\xa0\x80"), 1007);
    check(
        &server,
        &frame(0x01, b"a\xff and more that is not sent")[..10],
        1007,
    );
    let mut ws = echo(&server);
    ws.send(BINARY, b"\xff");
    assert_eq!(
        ws.message(),
        crate::common::websocket::Message::Binary(vec![0xff])
    );
}

#[test]
fn nothing_behind_a_violation_is_run() {
    let server = Server::start();
    let mut receiver = Ws::user(&server, "v", "r");
    let mut sender = Ws::user(&server, "v", "s");
    let push = r#"{"ac":"push","app":"v","user":"r","msg":"never"}"#;
    sender
        .conn
        .send([frame(0x80, b"no start"), frame(TEXT, push.as_bytes())].concat());
    sender.closed(1002);
    receiver.quiet();
}

#[test]
fn messages_before_a_violation_are_answered() {
    let server = echoing();
    let mut ws = echo(&server);
    ws.conn
        .send([frame(TEXT, b"fine"), frame(TEXT, b"\xff")].concat());
    assert_eq!(ws.text(), "fine");
    ws.closed(1007);
}

#[test]
fn more_messages_per_second_than_allowed() {
    let server = Server::configured("max_rate = 20\n");
    let mut ws = Ws::user(&server, "rate", "u");
    ws.conn.send(frame(TEXT, b"{}").repeat(500));
    let mut answers = 0;
    loop {
        match ws.message() {
            crate::common::websocket::Message::Text(text) => {
                assert_eq!(text, "OK");
                answers += 1;
            }
            crate::common::websocket::Message::Close(code, _) => {
                assert_eq!(code, 1008);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        (10..=60).contains(&answers),
        "{answers} of 500 at 20 per second"
    );
    // Below the rate nobody is closed.
    let mut calm = Ws::user(&server, "rate", "calm");
    for _ in 0..5 {
        calm.send_text("{}");
        assert_eq!(calm.text(), "OK");
    }
}
