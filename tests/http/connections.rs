//! Keep-alive, pipelining, and callers that go away: contract 7.5, 7.6 and 1.

use crate::common::http::{Conn, ask, get, push, wait_users};
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::{NOBODY, PLAIN};

/// A call whose answer names it.
fn named(name: &str, version: &str, headers: &str) -> String {
    format!("GET /{name} HTTP/{version}\r\nHost: h\r\n{headers}\r\n")
}

/// The answer to [`named`].
fn unknown(name: &str) -> String {
    format!("[1,\"接口不支持\",\"Bad request - unknown ac: {name}\"]\n")
}

#[test]
fn keep_alive() {
    let server = Server::start();
    #[track_caller]
    fn check(server: &Server, version: &str, headers: &str, stays: bool) {
        let mut conn = Conn::open(server);
        let answer = conn.ask(named("one", version, headers));
        assert_eq!(answer.text(), unknown("one"));
        if stays {
            let said = answer
                .header("connection")
                .unwrap_or_default()
                .to_ascii_lowercase();
            assert_eq!(
                said == "keep-alive",
                version == "1.0",
                "{version} {headers:?} {said:?}"
            );
            assert_eq!(
                conn.ask(named("two", version, headers)).text(),
                unknown("two")
            );
        } else {
            assert!(answer.closes(), "{version} {headers:?}: {answer:?}");
            conn.ended();
        }
    }
    check(&server, "1.1", "", true);
    check(&server, "1.1", "Connection: keep-alive\r\n", true);
    check(&server, "1.1", "Connection: close\r\n", false);
    check(&server, "1.1", "connection:CLOSE\r\n", false);
    check(&server, "1.1", "Connection: foo, close\r\n", false);
    check(&server, "1.1", "Connection: close,foo\r\n", false);
    check(&server, "1.1", "Connection: foo ,\tclose , bar\r\n", false);
    check(
        &server,
        "1.1",
        "Connection: foo\r\nConnection: close\r\n",
        false,
    );
    check(
        &server,
        "1.1",
        "Connection: close\r\nConnection: keep-alive\r\n",
        false,
    );
    check(
        &server,
        "1.1",
        "Connection: keep-alive\r\nX: y\r\nConnection: bar, close\r\n",
        false,
    );
    check(&server, "1.1", "Connection: xclose, close-x\r\n", true);
    check(&server, "1.1", "Connection: ,,\r\n", true);
    check(&server, "1.0", "", false);
    check(&server, "1.0", "Connection: close\r\n", false);
    check(&server, "1.0", "Connection: keep-alive\r\n", true);
    check(&server, "1.0", "Connection: Keep-Alive\r\n", true);
    check(
        &server,
        "1.0",
        "Connection: foo\r\nConnection: bar, keep-alive\r\n",
        true,
    );
    check(&server, "1.0", "Connection: keep-alive, close\r\n", false);
}

#[test]
fn nothing_is_read_behind_a_request_that_closes() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    conn.send(named("one", "1.1", "Connection: close\r\n") + PLAIN);
    assert_eq!(conn.answer().text(), unknown("one"));
    conn.ended();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    let names: Vec<String> = (0..500).map(|n| format!("call{n}")).collect();
    conn.send(
        names
            .iter()
            .map(|name| named(name, "1.1", ""))
            .collect::<String>(),
    );
    for name in &names {
        assert_eq!(conn.answer().text(), unknown(name));
    }
}

#[test]
fn different_kinds_of_requests_keep_their_order() {
    let server = Server::setup().file("static/a.txt", "a file").start();
    let body = r#"[{"ac":"inside"}]"#;
    let mut conn = Conn::open(&server);
    conn.send(
        named("one", "1.1", "")
            + &named("a.txt", "1.1", "")
            + &format!("POST /batch HTTP/1.1\r\nHost: h\r\nContent-Type: text/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            + &named("nosuch.js", "1.1", "")
            + &named("a.txt", "1.1", "").replace("GET", "HEAD")
            + &named("stat", "1.1", "")
            + &named("getMsg?app=a", "1.1", "")
            + "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
            + &named("last", "1.1", ""),
    );
    assert_eq!(conn.answer().text(), unknown("one"));
    assert_eq!(conn.answer().text(), "a file");
    assert_eq!(
        conn.answer().text(),
        "[0,[[1,\"接口不支持\",\"Bad request - unknown ac: inside\"]]]\n"
    );
    assert_eq!(conn.answer().status, 404);
    assert_eq!(conn.answer_to("HEAD").header("content-length"), Some("6"));
    assert!(conn.answer().text().starts_with("[0,{"));
    assert_eq!(conn.answer().text(), "*** error: require param `user`");
    assert_eq!(conn.answer().text(), "");
    assert_eq!(conn.answer().text(), unknown("last"));
}

#[test]
fn a_long_poll_holds_what_stands_behind_it() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    conn.send(
        named("one", "1.1", "")
            + &named("getMsg?app=lp&user=u", "1.1", "")
            + &named("three", "1.1", ""),
    );
    assert_eq!(conn.answer().text(), unknown("one"));
    wait_users(&server, "lp", r#"["u"]"#);
    conn.send(named("four", "1.1", ""));
    assert_eq!(push(&server, "lp", "u", "message"), 1);
    assert_eq!(conn.answer().text(), "message");
    assert_eq!(conn.answer().text(), unknown("three"));
    assert_eq!(conn.answer().text(), unknown("four"));
    assert_eq!(get(&server, "/getUsers?app=lp"), NOBODY);
}

#[test]
fn head_and_not_modified_have_no_body() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    let whole = conn.ask(named("index.html", "1.1", ""));
    let tag = whole.header("etag").expect("an ETag").to_owned();
    for target in ["index.html", "nosuch.html", "getUsers?app=q", "getUsers"] {
        conn.send(named(target, "1.1", "").replace("GET", "HEAD") + PLAIN);
        conn.answer_to("HEAD");
        assert_eq!(conn.answer().text(), NOBODY, "behind HEAD {target}");
    }
    conn.send(named("index.html", "1.1", "").replace("GET", "HEAD"));
    let length = whole.body.len().to_string();
    assert_eq!(
        conn.answer_to("HEAD").header("content-length"),
        Some(length.as_str())
    );
    conn.send(named("index.html", "1.1", &format!("If-None-Match: {tag}\r\n")) + PLAIN);
    let unchanged = conn.answer();
    assert_eq!(
        (unchanged.status, unchanged.header("etag")),
        (304, Some(tag.as_str()))
    );
    assert_eq!(conn.answer().text(), NOBODY);
}

#[test]
fn every_split_of_a_pipelined_pair() {
    let server = Server::start();
    let body = "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\nA: b\r\n\r\n";
    let pair = format!(
        "\r\nPOST /batch HTTP/1.1\r\nHost: h\r\nContent-Type: text/json\r\nTransfer-Encoding: chunked\r\n\r\n{body}{}",
        named("second", "1.1", "Connection: close\r\n")
    );
    // The reactor is one thread: an answer on another connection, asked for after the first
    // part was sent, says that it has seen that part.
    let mut other = Conn::open(&server);
    for split in 0..=pair.len() {
        let mut conn = Conn::open(&server);
        conn.send(&pair[..split]);
        assert_eq!(other.ask(PLAIN).text(), NOBODY);
        conn.send(&pair[split..]);
        let first = conn.answer().text();
        assert_eq!(
            first, "[0,[[1,\"接口不支持\",\"Bad request - unknown ac: arrived\"]]]\n",
            "split at {split}"
        );
        assert_eq!(conn.answer().text(), unknown("second"), "split at {split}");
        conn.ended();
    }
}

#[test]
fn a_request_byte_by_byte() {
    let server = Server::start();
    let (mut conn, mut other) = (Conn::open(&server), Conn::open(&server));
    for byte in PLAIN.bytes() {
        conn.send([byte]);
        assert_eq!(other.ask(PLAIN).text(), NOBODY);
    }
    assert_eq!(conn.answer().text(), NOBODY);
}

#[test]
fn a_whole_request_before_a_half_close_is_answered() {
    let server = Server::setup().file("static/a.txt", "a file").start();
    for (target, answer) in [
        ("getUsers?app=q", NOBODY.to_owned()),
        ("one", unknown("one")),
        ("a.txt", "a file".to_owned()),
    ] {
        let mut conn = Conn::open(&server);
        conn.send(named(target, "1.1", "") + &named("two", "1.1", ""));
        conn.half_close();
        assert_eq!(conn.answer().text(), answer);
        assert_eq!(conn.answer().text(), unknown("two"));
        conn.ended();
    }
}

#[test]
fn a_request_cut_short_is_not_run() {
    let server = Server::start();
    let mut ws = Ws::user(&server, "cut", "u");
    let request =
        "POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\napp=cut&user=u&msg=half";
    for end in [10, 40, request.len()] {
        let mut conn = Conn::open(&server);
        conn.send(&request[..end]);
        conn.half_close();
        // An answer that says what is wrong is allowed, a delivery is not.
        conn.rest();
    }
    assert_eq!(push(&server, "cut", "u", "whole"), 1);
    assert_eq!(ws.text(), "whole");
}

#[test]
fn a_caller_that_writes_and_closes_has_its_push_delivered() {
    let server = Server::start();
    let mut ws = Ws::user(&server, "async", "u");
    for n in 0..50 {
        let mut conn = Conn::open(&server);
        let body = format!("app=async&user=u&msg=m{n}");
        conn.send(format!(
            "POST /push HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        drop(conn);
        assert_eq!(ws.text(), format!("m{n}"));
    }
}

#[test]
fn a_long_poll_ends_with_its_connection() {
    let server = Server::start();
    for requests in [1, 3] {
        let mut conn = Conn::open(&server);
        conn.send(named("getMsg?app=gone&user=u", "1.1", "").repeat(requests));
        wait_users(&server, "gone", r#"["u"]"#);
        drop(conn);
        wait_users(&server, "gone", "[]");
        assert_eq!(push(&server, "gone", "u", "x"), 0);
    }
    let users = ask(&server, "GET", "/getUsers?app=gone", "", "");
    assert_eq!(users.text(), NOBODY);
}
