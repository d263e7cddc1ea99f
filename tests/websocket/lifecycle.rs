//! Pings of the server, signals, logs and listeners.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::http::{Conn, get, wait_users};
use crate::common::server::Server;
use crate::common::websocket::{CLOSE, Message, PONG, Ws, frame};

#[test]
fn a_silent_peer_is_pinged_and_stays_as_long_as_it_answers() {
    let server = Server::configured("ping_interval = 0.1\nping_timeout = 5\n");
    let mut ws = Ws::user(&server, "ping", "u");
    for _ in 0..5 {
        let Message::Ping(payload) = ws.message() else {
            panic!("a ping was due")
        };
        ws.send(PONG, &payload);
    }
    assert_eq!(get(&server, "/getUsers?app=ping"), "[0,[\"u\"]]\n");
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let server = Server::configured("ping_interval = 0.1\nping_timeout = 1\n");
    let mut ws = Ws::user(&server, "ping", "u");
    let begin = Instant::now();
    // Longer than the timeout in all, and never a pong.
    while begin.elapsed() < Duration::from_secs(2) {
        assert!(matches!(ws.message(), Message::Ping(_)));
        ws.send_text("{}");
        loop {
            match ws.message() {
                Message::Ping(_) => {}
                Message::Text(text) if text == "OK" => break,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_peer_that_answers_no_ping_is_gone() {
    let server = Server::configured("ping_interval = 0.1\nping_timeout = 0.2\n");
    let mut ws = Ws::user(&server, "dead", "u");
    assert!(matches!(ws.message(), Message::Ping(_)));
    wait_users(&server, "dead", "[]");
    // With or without a close frame it ends; the peer may be there again.
    loop {
        match ws.message() {
            Message::Ping(_) | Message::Close(..) => {}
            Message::End => break,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn shutdown_closes_with_1001_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut users: Vec<Ws> = (0..20)
            .map(|n| Ws::user(&server, "stop", &n.to_string()))
            .collect();
        let mut idle = Conn::open(&server);
        idle.ask("GET /getUsers?app=a HTTP/1.1\r\nHost: h\r\n\r\n");
        server.signal(signal);
        for ws in &mut users {
            assert!(matches!(ws.message(), Message::Close(1001, _)));
            // It may be gone before the last of them has answered.
            let _ = ws.conn.offer(&frame(CLOSE, &1001_u16.to_be_bytes()));
        }
        for ws in &mut users {
            assert_eq!(ws.message(), Message::End);
        }
        idle.ended();
        assert_eq!(server.ended().code(), Some(0), "{signal}");
    }
}

#[test]
fn shutdown_does_not_wait_for_peers_that_do_not_answer() {
    let mut server = Server::configured("shutdown_timeout = 1\nclose_timeout = 0.5\n");
    let mut silent = Ws::user(&server, "stop", "silent");
    let mut poll = Conn::open(&server);
    poll.send("GET /getMsg?app=stop&user=poll HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut half = Conn::open(&server);
    half.send("POST /push HTTP/1.1\r\nHost: h\r\nContent-Le");
    wait_users(&server, "stop", r#"["silent","poll"]"#);
    server.signal("TERM");
    assert!(matches!(silent.message(), Message::Close(1001, _)));
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn what_was_taken_before_shutdown_is_delivered() {
    let mut server = Server::start();
    let mut receiver = Ws::user(&server, "last", "r");
    for n in 0..100 {
        assert_eq!(
            get(&server, &format!("/push?app=last&user=r&msg={n}")),
            "[0,1]\n"
        );
    }
    server.signal("TERM");
    for n in 0..100 {
        assert_eq!(receiver.text(), n.to_string());
    }
    receiver.closed(1001);
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn the_own_log_says_who_came_and_went_and_is_reopened_on_hangup() {
    let server = Server::setup().argument("-l").argument("own.log").start();
    drop(Ws::user(&server, "app", "before"));
    let added = |line: &str, user: &str| line.contains(&format!("[app app] add user: {user} #"));
    let line = server.line_in("own.log", |line| added(line, "before"));
    let shape: String = line
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert!(
        shape.starts_with("=== REQ at [0000-00-00 00:00:00] [app app] add user: before #"),
        "{line}"
    );
    server.line_in("own.log", |line| {
        line.contains("[app app] del user: before #")
    });

    fs::rename(
        server.folder().join("own.log"),
        server.folder().join("moved.log"),
    )
    .expect("rename");
    server.signal("HUP");
    // The signal takes effect at a time of its own; lines go to the old file until then.
    crate::common::wait_for("the new file", || {
        server
            .folder()
            .join("own.log")
            .exists()
            .then_some(())
            .or_else(|| {
                drop(Ws::user(&server, "app", "between"));
                None
            })
    });
    let mut stays = Ws::user(&server, "app", "after");
    server.line_in("own.log", |line| added(line, "after"));
    let moved = fs::read_to_string(server.folder().join("moved.log")).expect("the old file");
    assert!(!moved.lines().any(|line| added(line, "after")), "{moved}");
    // No connection is lost by it.
    server.signal("HUP");
    stays.quiet();
}

#[test]
fn a_log_that_takes_nothing_holds_nobody_up_and_is_told_of() {
    let setup = Server::setup().argument("-l").argument("own.pipe");
    let pipe = setup.folder().join("own.pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    // Open at both ends, and never read.
    let _held = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a pipe");
    let mut server = setup.start();
    let name = "n".repeat(1_000);
    // Two lines each: more than a pipe takes.
    for n in 0..100 {
        drop(Ws::user(&server, &name, &format!("{n}")));
    }
    assert_eq!(
        get(&server, "/getUsers?app=x"),
        "[0,[]]\n",
        "nobody waits for it"
    );
    let begin = Instant::now();
    server.signal("TERM");
    assert!(server.ended().success());
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    server.line(|line| line.contains("cannot write") && line.contains("own.pipe"));
}

#[test]
fn long_polls_are_logged_as_http_users() {
    let server = Server::setup().argument("-l").argument("own.log").start();
    let answer = get(&server, "/getMsg?app=lp&user=poller&timeout=0.05");
    assert_eq!(answer, "");
    server.line_in("own.log", |line| {
        line.contains("[app lp] add http user: poller #")
    });
    server.line_in("own.log", |line| {
        line.contains("[app lp] del user: poller #")
    });
}

#[test]
fn every_message_is_logged_when_asked_for() {
    let server = Server::setup().argument("-l").argument("own.log").start();
    assert_eq!(
        get(&server, "/conf?conf_jdserver_log_ws=1"),
        "[0,{\"conf_jdserver_log_ws\":\"1\"}]\n"
    );
    let mut ws = Ws::user(&server, "lw", "u");
    ws.send_text(r#"{"ac":"push","app":"lw","user":"u","msg":"secret word"}"#);
    assert_eq!((ws.text(), ws.text()), ("secret word".into(), "1".into()));
    server.line_in("own.log", |line| line.contains("recv init from #"));
    server.line_in("own.log", |line| {
        line.contains("[app lw] recv from u #") && line.contains("secret word")
    });
    server.line_in("own.log", |line| {
        line.contains("[app lw] push to u by u #") && line.contains("secret word")
    });
}

#[test]
fn a_unix_socket_and_several_listeners() {
    let server = Server::setup()
        .argument("--unix")
        .argument("jd.sock")
        .start();
    server.line(|line| line.starts_with("jdserver: serving on unix:"));
    let path = server.folder().join("jd.sock");
    let mode = fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "whatever the umask");
    let mut conn = Conn::open_unix(&path);
    assert_eq!(
        conn.ask("GET /getUsers?app=a HTTP/1.1\r\nHost:\r\n\r\n")
            .text(),
        "[0,[]]\n"
    );
    let conn = Conn::open_unix(&server.folder().join("jd.sock"));
    let mut ws = Ws::upgrade(conn, "/", "").expect("an upgrade");
    ws.init("unix", "u");
    assert_eq!(get(&server, "/getUsers?app=unix"), "[0,[\"u\"]]\n");
}
