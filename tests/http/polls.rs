//! Long polls (contract 3): they wait for one message, and end with it, their time or their peer.

use crate::common::http::{Conn, ask, get, push, wait_users};
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::{NOBODY, PLAIN};

/// A poll under way.
#[track_caller]
fn poll(server: &Server, query: &str) -> Conn {
    let mut conn = Conn::open(server);
    conn.send(format!("GET /getMsg?{query} HTTP/1.1\r\nHost: h\r\n\r\n"));
    conn
}

#[test]
fn a_poll_takes_one_message() {
    let server = Server::start();
    let mut conn = poll(&server, "app=lp&user=u");
    wait_users(&server, "lp", r#"["u"]"#);
    let item = |text: &str| format!(r#"{{"app":"lp","user":"*","msg":"{text}"}}"#);
    let list = format!("[{},{}]", item("first"), item("second"));
    let counts = ask(
        &server,
        "POST",
        "/push",
        "Content-Type: application/json\r\n",
        &list,
    );
    assert_eq!(counts.text(), "[0,[1,0]]\n");
    assert_eq!(conn.answer().text(), "first");
    // Its connection is free for the next one.
    conn.send("GET /getMsg?app=lp&user=u HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_users(&server, "lp", r#"["u"]"#);
    assert_eq!(push(&server, "lp", "u", "%3Cthird%3E"), 1);
    assert_eq!(conn.answer().text(), "&lt;third&gt;");
    assert_eq!(conn.ask(PLAIN).text(), NOBODY);
}

#[test]
fn polls_and_websockets_of_one_user() {
    let server = Server::start();
    let mut first = poll(&server, "app=lp&user=u&timeout=60");
    wait_users(&server, "lp", r#"["u"]"#);
    let mut ws = Ws::user(&server, "lp", "u");
    let mut second = poll(&server, "app=lp&user=v");
    wait_users(&server, "lp", r#"["u","u","v"]"#);
    assert_eq!(push(&server, "lp", "u", "two"), 2);
    assert_eq!(
        (first.answer().text(), ws.text()),
        ("two".into(), "two".into())
    );
    assert_eq!(get(&server, "/getUsers?app=lp"), "[0,[\"u\",\"v\"]]\n");
    ws.send_text(r#"{"ac":"push","app":"lp","user":"v","msg":""}"#);
    assert_eq!(ws.text(), "1");
    let answer = second.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
}

#[test]
fn a_poll_ends_after_its_time() {
    let server = Server::start();
    for timeout in ["0.05", "0.2"] {
        let mut conn = poll(&server, &format!("app=lp&user=u&timeout={timeout}"));
        let answer = conn.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, ""));
        assert_eq!(answer.header("content-type"), Some("text/html"));
        assert_eq!(get(&server, "/getUsers?app=lp"), NOBODY);
        assert_eq!(conn.ask(PLAIN).text(), NOBODY);
    }
}

#[test]
fn parameters_come_from_the_query_only() {
    let server = Server::start();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = ask(&server, "POST", "/getMsg?app=lp", form, "app=lp&user=u");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "*** error: require param `user`")
    );
    let answer = ask(&server, "GET", "/getMsg?app=&user=u", "", "");
    assert_eq!(answer.text(), "*** error: require param `app`");
}

#[test]
fn head_does_not_wait() {
    let server = Server::start();
    for method in ["HEAD", "OPTIONS"] {
        let answer = ask(&server, method, "/getMsg?app=lp&user=u", "", "");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{method}");
    }
    assert_eq!(get(&server, "/getUsers?app=lp"), NOBODY);
}

#[test]
fn a_poll_whose_peer_has_gone_takes_nothing() {
    let server = Server::start();
    for pending in ["", PLAIN, "GET / HT"] {
        let mut conn = poll(&server, "app=lp&user=u");
        wait_users(&server, "lp", r#"["u"]"#);
        // Bytes behind the poll must not hide its peer's end.
        conn.send(pending);
        drop(conn);
        wait_users(&server, "lp", "[]");
    }
}
