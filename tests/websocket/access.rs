//! Who may: tokens, origins, proxies (contract 6).

use crate::common::http::{Answer, Conn, ask, get};
use crate::common::server::Server;
use crate::common::websocket::{TEXT, Ws, frame};

/// What a call without the token is answered.
const REQUIRED: &str = "[2,\"未登录\",\"token required\"]\n";

#[track_caller]
fn refused(server: &Server, path: &str, headers: &str) -> Answer {
    match Ws::upgrade(Conn::open(server), path, headers) {
        Ok(_) => panic!("upgraded at {path} with {headers:?}"),
        Err(answer) => answer,
    }
}

#[test]
fn a_token() {
    let server = Server::configured("token = \"s3cret\"\n");
    let call = |target: &str, headers: &str| ask(&server, "GET", target, headers, "");
    for (target, headers) in [
        ("/getUsers?app=a", ""),
        ("/getUsers?app=a&_token=", ""),
        ("/getUsers?app=a&_token=s3cre", ""),
        ("/getUsers?app=a&_token=s3cret1", ""),
        ("/getUsers?app=a", "Authorization: Bearer wrong\r\n"),
        ("/getUsers?app=a", "Authorization: Basic s3cret\r\n"),
        ("/getUsers?app=a", "Authorization: s3cret\r\n"),
        ("/getUsers?app=a", "Authorization: Bearer\r\n"),
        ("/push?app=a&user=*&msg=x", ""),
        ("/getMsg?app=a&user=u&timeout=1", ""),
        ("/stat", ""),
        ("/conf?conf_token=", ""),
        ("/nosuch", ""),
        ("/batch", ""),
    ] {
        let answer = call(target, headers);
        assert_eq!(answer.status, 401, "{target} {headers:?}");
        if !target.starts_with("/getMsg") {
            assert_eq!(answer.text(), REQUIRED, "{target} {headers:?}");
        }
    }
    for (target, headers) in [
        ("/getUsers?app=a&_token=s3cret", ""),
        ("/getUsers?app=a", "Authorization: Bearer s3cret\r\n"),
        ("/getUsers?app=a", "authorization: bearer s3cret\r\n"),
    ] {
        assert_eq!(
            call(target, headers).text(),
            "[0,[]]\n",
            "{target} {headers:?}"
        );
    }
    // Pages stay open, and so do questions of browsers that come before a call.
    assert_eq!(call("/", "").status, 200);
    assert_eq!(call("/nosuch.html", "").status, 404);
    assert_eq!(
        ask(&server, "OPTIONS", "/push", "Origin: http://a\r\n", "").status,
        200
    );
}

#[test]
fn a_token_for_upgrades() {
    let server = Server::configured("token = \"s3cret\"\n");
    assert_eq!(refused(&server, "/", "").status, 401);
    assert_eq!(refused(&server, "/?_token=wrong", "").status, 401);
    assert_eq!(
        refused(&server, "/", "Authorization: Bearer wrong\r\n").status,
        401
    );
    Ws::open_at(&server, "/?_token=s3cret", "").init("t", "a");
    Ws::open_at(&server, "/", "Authorization: Bearer s3cret\r\n").init("t", "b");
}

#[test]
fn the_token_is_never_set_or_shown_by_conf() {
    let server = Server::configured("token = \"s3cret\"\n");
    let answer = get(&server, "/conf?_token=s3cret&conf_token=other&conf_x=1");
    assert!(
        !answer.contains("s3cret") && !answer.contains("other"),
        "{answer}"
    );
    assert_eq!(get(&server, "/getUsers?app=a&_token=s3cret"), "[0,[]]\n");
}

#[test]
fn origins() {
    let open = Server::start();
    let asked = ask(
        &open,
        "GET",
        "/getUsers?app=a",
        "Origin: http://any\r\n",
        "",
    );
    assert_eq!(
        asked.header("access-control-allow-origin"),
        Some("http://any")
    );
    assert_eq!(
        asked.header("access-control-allow-credentials"),
        Some("true")
    );
    assert_eq!(
        ask(&open, "GET", "/getUsers?app=a", "", "").header("access-control-allow-origin"),
        None
    );
    Ws::open_at(&open, "/", "Origin: http://any\r\n");

    let server = Server::configured(
        "allow_origin = [\"https://good.example\", \"http://two.example:81\"]\n",
    );
    for origin in ["https://good.example", "http://two.example:81"] {
        let header = format!("Origin: {origin}\r\n");
        let answer = ask(&server, "GET", "/getUsers?app=a", &header, "");
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, Some(origin))
        );
        Ws::open_at(&server, "/", &header);
    }
    for origin in [
        "https://bad.example",
        "http://good.example",
        "https://good.example:444",
        "https://good.example.evil",
        "null",
        "",
    ] {
        let header = format!("Origin: {origin}\r\n");
        let answer = ask(&server, "GET", "/getUsers?app=a", &header, "");
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{origin}"
        );
        assert_eq!(refused(&server, "/", &header).status, 403, "{origin}");
        let asked = ask(&server, "OPTIONS", "/push", &header, "");
        assert_eq!(
            asked.header("access-control-allow-origin"),
            None,
            "{origin}"
        );
    }
    // Who is no browser names no origin.
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
    Ws::open(&server);
}

#[test]
fn a_refused_call_runs_nothing() {
    let server = Server::configured("token = \"s3cret\"\nallow_origin = [\"http://good\"]\n");
    let mut ws = Ws::open_at(&server, "/?_token=s3cret", "");
    ws.init("r", "u");
    assert_eq!(
        ask(&server, "GET", "/push?app=r&user=u&msg=never", "", "").status,
        401
    );
    let bad = "Origin: http://bad\r\n";
    assert_eq!(
        ask(
            &server,
            "GET",
            "/push?app=r&user=u&msg=never&_token=s3cret",
            bad,
            ""
        )
        .status,
        403
    );
    ws.quiet();
    // The token is asked for at the door, not for each message.
    ws.conn.send(frame(
        TEXT,
        br#"{"ac":"push","app":"r","user":"u","msg":"self"}"#,
    ));
    assert_eq!((ws.text(), ws.text()), ("self".into(), "1".into()));
}

/// `=== REQ from [ADDR] at [YYYY-MM-DD HH:MM:SS] text`.
#[track_caller]
fn check_line(line: &str, address: &str) {
    let rest = line
        .strip_prefix("=== REQ from [")
        .and_then(|rest| rest.split_once("] at ["));
    let (from, rest) = rest.unwrap_or_else(|| panic!("{line}"));
    assert_eq!(from, address, "{line}");
    let (time, text) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00 00:00:00", "{line}");
    assert!(text.starts_with("fail to call `push`: "), "{line}");
}

#[test]
fn a_failed_call_is_logged_with_its_address() {
    let server = Server::start();
    ask(
        &server,
        "GET",
        "/push?app=a",
        "X-Forwarded-For: 192.0.2.9\r\n",
        "",
    );
    check_line(
        &server.line_in("trace.log", |line| line.contains("fail to call")),
        "127.0.0.1",
    );

    let behind = Server::configured("trusted_proxy = [\"127.0.0.0/8\"]\n");
    ask(
        &behind,
        "GET",
        "/push?app=a",
        "X-Forwarded-For: 192.0.2.9\r\n",
        "",
    );
    let line = behind.line_in("trace.log", |line| line.contains("fail to call"));
    check_line(&line, "127.0.0.1; 192.0.2.9");

    let other = Server::configured("trusted_proxy = [\"192.0.2.1\"]\n");
    ask(
        &other,
        "GET",
        "/push?app=a",
        "X-Forwarded-For: 192.0.2.9\r\n",
        "",
    );
    check_line(
        &other.line_in("trace.log", |line| line.contains("fail to call")),
        "127.0.0.1",
    );
}

#[test]
fn codes_2_and_unknown_objects_are_not_logged() {
    let server = Server::start();
    get(&server, "/No/such");
    get(&server, "/push?app=a");
    let line = server.line_in("trace.log", |line| line.contains("fail to call"));
    assert!(line.contains("`push`"), "{line}");
}

#[test]
fn a_forged_address_makes_no_line_of_its_own() {
    let server = Server::configured("trusted_proxy = [\"127.0.0.1\"]\n");
    let forged = "X-Forwarded-For: 1] at [2000-01-01 00:00:00] forged\r\n";
    ask(
        &server,
        "GET",
        "/push?app=%0A%3D%3D%3D%20REQ%20forged",
        forged,
        "",
    );
    ask(&server, "GET", "/p%0Aush?app=a", "", "");
    let text = |line: &str| line.contains("`p") && !line.contains("`push`");
    server.line_in("trace.log", text);
    let log = std::fs::read_to_string(server.folder().join("trace.log")).expect("the log");
    assert!(
        log.lines().all(|line| line.starts_with("=== REQ from [")),
        "{log}"
    );
    assert!(
        !log.lines().any(|line| line.starts_with("=== REQ forged")),
        "{log}"
    );
    assert_eq!(log.lines().count(), 2, "{log}");
}
