//! What must come through every proxy: calls, pushes, upgrades, long polls, the client's address, a restart.

use crate::common::http::{push, wait_users};
use crate::common::server::Server;
use crate::common::wait_for;
use crate::common::websocket::{Message, PING, Ws, init};
use crate::front::{Front, free_port};
use crate::{nginx, rules, rules_in_host};

/// A server that trusts the proxy in front, on a port that a restart keeps.
#[track_caller]
fn server(port: u16) -> Server {
    // At a restart nobody here answers the close.
    let settings = "trusted_proxy = [\"127.0.0.1\"]\nclose_timeout = 0.2\n";
    Server::setup().settings(settings).port(port).start()
}

/// `below` is the prefix of calls, `upgrade` the path of WebSockets.
#[track_caller]
fn check(server: Server, front: &Front, below: &str, upgrade: &str) {
    calls(front, below);
    large(front, below);
    websockets(&server, front, below, upgrade);
    polls(&server, front, below);
    address(&server, front, below);
    restart(server, front, upgrade);
}

#[track_caller]
fn calls(front: &Front, below: &str) {
    assert_eq!(front.get(&format!("{below}getUsers?app=a")), "[0,[]]\n");
    let query = format!("{below}push?app=%E6%8E%A8&user=group1%2F%2A&msg=%3Cb%3E+%26");
    assert_eq!(front.get(&query), "[0,0]\n");
    let form = "app=a&user=u&msg[id]=1&msg[text]=%E4%BD%A0%E5%A5%BD";
    assert_eq!(front.post(&format!("{below}push"), form), "[0,0]\n");
    assert_eq!(
        front.get(&format!("{below}getUsers?app=a&retfn=obj")),
        "{\"code\":0,\"data\":[]}\n"
    );
    // Objects, REST-like paths and methods.
    let url = "url=http%3A%2F%2F127.0.0.1%3A1%2Fx&cron=0+0+1+1+*&code=app-x-1";
    let id = front.post(&format!("{below}setTimeout"), url);
    let id = id
        .trim_start_matches("[0,")
        .trim_end_matches("]\n")
        .to_owned();
    let get = front.get(&format!("{below}Timer/{id}"));
    assert!(get.contains("app-x-1"), "{get}");
    let patch = front.ask(
        "PATCH",
        &format!("{below}Timer/{id}"),
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "data=1",
    );
    assert!(patch.text().starts_with("[0,"), "{patch:?}");
    let delete = front.ask("DELETE", &format!("{below}Timer/{id}"), "", "");
    assert!(delete.text().starts_with("[0,"), "{delete:?}");
    // Origins and preflights.
    let origin = "Origin: https://a.example\r\n";
    let answer = front.ask("GET", &format!("{below}getUsers?app=a"), origin, "");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://a.example")
    );
    let asked = format!("{origin}Access-Control-Request-Method: POST\r\n");
    let answer = front.ask("OPTIONS", &format!("{below}push"), &asked, "");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-methods")),
        (200, Some("POST"))
    );
    // A page, and that it is known again.
    let page = front.ask("GET", &format!("{below}test.html"), "", "");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let tag = format!("If-None-Match: {}\r\n", page.header("etag").expect("a tag"));
    assert_eq!(
        front
            .ask("GET", &format!("{below}test.html"), &tag, "")
            .status,
        304
    );
}

/// A body larger than any buffer on the way.
#[track_caller]
fn large(front: &Front, below: &str) {
    let form = format!("app=a&user=u&msg={}", "x".repeat(1 << 20));
    assert_eq!(front.post(&format!("{below}push"), &form), "[0,0]\n");
}

#[track_caller]
fn websockets(server: &Server, front: &Front, below: &str, upgrade: &str) {
    let mut one = front.websocket(upgrade, "");
    one.init("ws", "u1");
    // What is agreed with the server, not with the proxy.
    let mut two = front.websocket(upgrade, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    assert!(
        two.extensions.contains("permessage-deflate"),
        "{}",
        two.extensions
    );
    two.init("ws", "u2");
    assert_eq!(
        front.get(&format!("{below}getUsers?app=ws")),
        "[0,[\"u1\",\"u2\"]]\n"
    );
    one.send_text(r#"{"ac":"push","app":"ws","user":"u2","msg":{"n":1}}"#);
    assert_eq!(two.text(), r#"{"n":1}"#);
    assert_eq!(one.text(), "1");
    let long = "long message ".repeat(20_000);
    assert_eq!(
        front.post(
            &format!("{below}push"),
            &format!("app=ws&user=*&msg={long}")
        ),
        "[0,2]\n"
    );
    assert_eq!((one.text(), two.text()), (long.clone(), long));
    one.send(PING, b"there?");
    assert_eq!(one.message(), Message::Pong(b"there?".to_vec()));
    // An end on this side is seen on the other.
    drop(one);
    wait_users(server, "ws", r#"["u2"]"#);
    two.send(0x88, &1000_u16.to_be_bytes());
    assert_eq!(two.message(), Message::Close(1000, String::new()));
    wait_users(server, "ws", "[]");
}

#[track_caller]
fn polls(server: &Server, front: &Front, below: &str) {
    let mut conn = front.connect();
    conn.send(format!(
        "GET {below}getMsg?app=lp&user=u&timeout=20 HTTP/1.1\r\nHost: h\r\n\r\n"
    ));
    wait_users(server, "lp", r#"["u"]"#);
    assert_eq!(push(server, "lp", "*", "hello"), 1);
    assert_eq!(conn.answer().text(), "hello");
    assert_eq!(
        front.get(&format!("{below}getMsg?app=lp&user=u&timeout=0.1")),
        ""
    );
}

#[track_caller]
fn address(server: &Server, front: &Front, below: &str) {
    front.ask(
        "GET",
        &format!("{below}push?app=who"),
        "X-Forwarded-For: 203.0.113.9\r\n",
        "",
    );
    let line = server.line_in("trace.log", |line| line.contains("fail to call `push`"));
    assert!(
        line.starts_with("=== REQ from [127.0.0.1; 203.0.113.9, 127.0.0.1] at ["),
        "{line}"
    );
}

/// The daemon goes and comes back behind the proxy; its clients find it again.
#[track_caller]
fn restart(server: Server, front: &Front, upgrade: &str) {
    let mut ws = front.websocket(upgrade, "");
    ws.init("again", "u");
    let port = server.port();
    let setup = server.stopped("TERM").port(port);
    assert!(matches!(ws.message(), Message::Close(1001, _)));
    assert!(
        Ws::upgrade(front.connect(), upgrade, "").is_err(),
        "nobody is there"
    );
    let server = setup.start();
    // Apache pauses 60 s for a backend that failed, but not for that of a rule.
    let mut ws = wait_for("the proxy to find the server again", || {
        Ws::upgrade(front.connect(), upgrade, "").ok()
    });
    ws.send_text(&init("again", "u"));
    assert_eq!(ws.text(), "OK");
    assert_eq!(push(&server, "again", "u", "back"), 1);
    assert_eq!(ws.text(), "back");
}

#[test]
fn apache_with_the_rules_in_htaccess() {
    let port = free_port();
    let Some(front) = Front::apache("", &rules(port)) else {
        return;
    };
    check(server(port), &front, "/jdserver/", "/jdserver");
}

#[test]
fn apache_with_the_rules_in_its_virtual_host() {
    let port = free_port();
    let Some(front) = Front::apache(&rules_in_host(port), "") else {
        return;
    };
    check(server(port), &front, "/jdserver/", "/jdserver/");
}

#[test]
fn nginx_as_in_the_readme() {
    let port = free_port();
    let Some(front) = Front::nginx(&nginx(port, "", false)) else {
        return;
    };
    check(server(port), &front, "/jdserver/", "/jdserver/");
}
