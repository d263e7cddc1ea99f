//! The way from HTTP to WebSocket: contract 7.9. What is said there is `websocket`'s.

use crate::common::http::{Answer, Conn};
use crate::common::server::Server;
use crate::common::websocket::{KEY, Ws, frame, init, request};
use crate::{NOBODY, PLAIN};

/// An upgrade request with `from` in its text replaced.
fn changed(from: &str, to: &str) -> String {
    let whole = request("/getUsers?app=nobody", "");
    assert!(whole.contains(from), "{from:?}");
    whole.replace(from, to)
}

#[track_caller]
fn upgraded(server: &Server, request: &str) -> Ws {
    let mut conn = Conn::open(server);
    let answer = conn.ask(request);
    assert_eq!(answer.status, 101, "{request:?}: {answer:?}");
    let mut ws = Ws::accepted(conn, &answer);
    ws.init("up", "u");
    ws
}

/// A request that is no upgrade at all, but a call like any other.
#[track_caller]
fn called(server: &Server, request: &str) -> Answer {
    let mut conn = Conn::open(server);
    let answer = conn.ask(request);
    assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
    answer
}

#[track_caller]
fn not_upgraded(server: &Server, request: &str, status: u16) -> Answer {
    let mut conn = Conn::open(server);
    let answer = conn.ask(request);
    assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    assert_eq!(
        answer.text().trim_end().lines().count(),
        1,
        "{request:?}: {answer:?}"
    );
    answer
}

#[test]
fn any_path_and_any_spelling_upgrades() {
    let server = Server::start();
    for path in [
        "/",
        "/getUsers",
        "/index.html",
        "/x/y?z=1",
        "/nosuch.js",
        "/getMsg?app=a",
        "http://h/x",
    ] {
        upgraded(&server, &request(path, ""));
    }
    for (from, to) in [
        ("Upgrade: websocket", "UPGRADE: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection:UPGRADE"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: foo ,\tupgrade",
        ),
        ("Sec-WebSocket-Version: 13", "sec-websocket-version:13"),
        (
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: 13\r\nOrigin: http://any",
        ),
    ] {
        upgraded(&server, &changed(from, to));
    }
}

#[test]
fn other_versions_get_426_that_names_13() {
    let server = Server::start();
    for version in [
        "Sec-WebSocket-Version: 12",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Version: 013",
        "Sec-WebSocket-Version:",
        "Sec-WebSocket-Version: x",
        "X: y",
    ] {
        let answer = not_upgraded(&server, &changed("Sec-WebSocket-Version: 13", version), 426);
        assert_eq!(
            answer.header("sec-websocket-version"),
            Some("13"),
            "{version}"
        );
    }
}

#[test]
fn exactly_one_key_of_sixteen_bytes() {
    let server = Server::start();
    let key = format!("Sec-WebSocket-Key: {KEY}");
    for wrong in [
        "X: y".to_owned(),
        "Sec-WebSocket-Key:".to_owned(),
        format!("{key}\r\n{key}"),
        format!("{key}="),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWFi".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ-==".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25 jZQ=".to_owned(),
        "Sec-WebSocket-Key: c2hvcnQ=".to_owned(),
    ] {
        not_upgraded(&server, &changed(&key, &wrong), 400);
    }
}

#[test]
fn what_does_not_ask_for_it_is_a_call() {
    let server = Server::start();
    for (from, to) in [
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket", "Upgrade: websocketx, xwebsocket"),
        ("Upgrade: websocket", "X: y"),
        ("Connection: Upgrade", "Connection: keep-alive"),
        ("Connection: Upgrade", "Connection: upgrades"),
        ("Connection: Upgrade", "X: y"),
        ("GET ", "POST "),
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        assert_eq!(called(&server, &changed(from, to)).text(), NOBODY, "{to}");
    }
}

#[test]
fn bytes_behind_the_head_belong_to_the_websocket() {
    let server = Server::start();
    let head = request("/", "");
    let frames = [frame(0x81, init("up", "u").as_bytes()), frame(0x81, b"{}")].concat();
    let whole = [head.as_bytes(), &frames].concat();
    let mut other = Conn::open(&server);
    for split in [
        0,
        1,
        head.len() - 1,
        head.len(),
        head.len() + 1,
        head.len() + 7,
        whole.len() - 1,
    ] {
        let mut conn = Conn::open(&server);
        conn.send(&whole[..split]);
        assert_eq!(other.ask(PLAIN).text(), NOBODY);
        conn.send(&whole[split..]);
        let answer = conn.answer();
        let mut ws = Ws::accepted(conn, &answer);
        assert_eq!(
            (ws.text(), ws.text()),
            ("OK".into(), "OK".into()),
            "split at {split}"
        );
    }
}

#[test]
fn an_upgrade_behind_other_requests_waits_for_their_answers() {
    let server = Server::setup().file("static/a.txt", "a file").start();
    let mut conn = Conn::open(&server);
    let first = frame(0x81, init("up", "u").as_bytes());
    let file = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    conn.send(
        [
            PLAIN.as_bytes(),
            file.as_bytes(),
            request("/", "").as_bytes(),
            &first,
        ]
        .concat(),
    );
    assert_eq!(conn.answer().text(), NOBODY);
    assert_eq!(conn.answer().text(), "a file");
    let answer = conn.answer();
    assert_eq!(Ws::accepted(conn, &answer).text(), "OK");
}
