//! What works over TLS: everything, on both kinds of ports.

use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::common::http::{Conn, ask, get, wait_users};
use crate::common::websocket::{Message, Ws, init};
use crate::peer::{self, Pair};
use crate::start;

const GET: &str = "GET /getUsers?app=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn calls_on_both_ports_in_both_versions() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "");
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(pair.client_of(&[version]));
        for port in [port, server.port()] {
            let mut conn = peer::open(port, &client);
            assert_eq!(conn.ask(GET).text(), "[0,[]]\n", "{version:?}");
            // In order, in one piece, and again on the same connection.
            conn.send(GET.repeat(3));
            for _ in 0..3 {
                assert_eq!(conn.answer().text(), "[0,[]]\n");
            }
            assert_eq!(conn.tls().protocol_version(), Some(version.version));
        }
    }
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n", "plain, too");
}

#[test]
fn a_closing_answer_ends_with_a_notice() {
    let pair = Pair::new();
    let (_server, port) = start(&pair, "");
    let mut conn = peer::open(port, &Arc::new(pair.client()));
    conn.send("GET /stat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(conn.answer().closes());
    // An end without one would be an error of rustls.
    conn.ended();
}

#[test]
fn plain_http_where_only_tls_is_taken_is_told_so() {
    let pair = Pair::new();
    let (_server, port) = start(&pair, "");
    let mut conn = Conn::open_port(port);
    let answer = conn.ask(GET);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, "only https and wss are spoken here\n")
    );
    assert!(answer.closes());
    conn.ended();
}

#[test]
fn websockets_and_polls_meet_across_ports() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "");
    let client = Arc::new(pair.client());
    let mut secure: Vec<Ws> = [port, server.port()]
        .into_iter()
        .zip(["1", "2"])
        .map(|(port, user)| {
            let mut ws = Ws::upgrade(peer::open(port, &client), "/", "").expect("upgraded");
            ws.init("a", user);
            ws
        })
        .collect();
    let mut plain = Ws::user(&server, "a", "3");
    let mut poll = peer::open(port, &client);
    poll.send("GET /getMsg?app=a&user=4&timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_users(&server, "a", r#"["1","2","3","4"]"#);
    // Larger than a record, and compressible or not.
    let text: String = (0..40_000)
        .map(|n| char::from(b'a' + (n * n % 26) as u8))
        .collect();
    plain.send_text(&format!(
        r#"{{"ac":"push","app":"a","user":"*","msg":"{text}"}}"#
    ));
    for ws in &mut secure {
        assert_eq!(ws.text(), text);
    }
    assert_eq!((plain.text(), plain.text()), (text.clone(), "4".to_owned()));
    assert_eq!(poll.answer().text(), text);
    secure[0].send_text(r#"{"ac":"push","app":"a","user":"3","msg":"back"}"#);
    assert_eq!(
        (secure[0].text().as_str(), plain.text().as_str()),
        ("1", "back")
    );
}

#[test]
fn sessions_resume() {
    let pair = Pair::new();
    let (_server, port) = start(&pair, "");
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(pair.client_of(&[version]));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut conn = peer::open(port, &client);
            conn.ask(GET);
            kinds.extend(conn.tls().handshake_kind());
        }
        assert_eq!(
            kinds,
            [HandshakeKind::Full, HandshakeKind::Resumed],
            "{version:?}"
        );
    }
}

#[test]
fn http_1_is_agreed_on() {
    let pair = Pair::new();
    let (_server, port) = start(&pair, "");
    let mut client = pair.client();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut conn = peer::open(port, &Arc::new(client.clone()));
    conn.ask(GET);
    assert_eq!(conn.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
    client.alpn_protocols.pop();
    let mut conn = peer::open(port, &Arc::new(client));
    let error = conn.offer(GET.as_bytes()).expect_err("h2 alone");
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[test]
fn a_token_guards_both() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "token = 's3cret'\n");
    let client = Arc::new(pair.client());
    assert_eq!(peer::open(port, &client).ask(GET).status, 401);
    let with = GET.replace("a HTTP", "a&_token=s3cret HTTP");
    assert_eq!(peer::open(port, &client).ask(with).status, 200);
    let refused = Ws::upgrade(peer::open(server.port(), &client), "/", "");
    assert_eq!(
        refused.map(|_| ()).map_err(|answer| answer.status),
        Err(401)
    );
    assert_eq!(ask(&server, "GET", "/stat", "", "").status, 401);
}

#[test]
fn a_stop_closes_with_1001() {
    let pair = Pair::new();
    let (mut server, port) = start(&pair, "");
    let mut ws =
        Ws::upgrade(peer::open(port, &Arc::new(pair.client())), "/", "").expect("upgraded");
    ws.send_text(&init("a", "1"));
    assert_eq!(ws.message(), Message::Text("OK".to_owned()));
    server.signal("TERM");
    ws.closed(1001);
    assert!(server.ended().success());
}
