//! Caps and deadlines: 408, 413, 414, 431, 503 (contract 1 and 7.8).

use std::time::{Duration, Instant};

use jdserver::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

use crate::common::WAIT;
use crate::common::http::{Conn, wait_alone, wait_users};
use crate::common::server::Server;
use crate::{NOBODY, PLAIN, accepted, refusal, refused};

#[test]
fn the_size_of_a_head() {
    let server = Server::start();
    let padded = |size: usize| {
        let frame = PLAIN.replace("\r\n\r\n", "\r\nX: \r\n\r\n").len();
        PLAIN.replace(
            "\r\n\r\n",
            &format!("\r\nX: {}\r\n\r\n", "y".repeat(size - frame)),
        )
    };
    accepted(&server, padded(HEAD_BYTES_MAX));
    refused(&server, padded(HEAD_BYTES_MAX + 1), &[431]);
    refused(&server, padded(HEAD_BYTES_MAX * 4), &[431]);
    // An endless one is not waited for.
    let mut conn = Conn::open(&server);
    conn.send(&padded(HEAD_BYTES_MAX * 2)[..HEAD_BYTES_MAX + 1000]);
    refusal(&mut conn, "a head without an end", &[431]);
}

#[test]
fn the_number_of_headers() {
    let server = Server::start();
    let with = |headers: usize| {
        // One of them is Host.
        let lines: String = (1..headers).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET /getUsers?app=nobody HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
    };
    assert_eq!(accepted(&server, with(HEADERS_MAX)).text(), NOBODY);
    refused(&server, with(HEADERS_MAX + 1), &[431]);
    refused(&server, with(HEADERS_MAX * 3), &[431]);
}

#[test]
fn the_size_of_a_target() {
    let server = Server::start();
    let with = |size: usize| {
        let target = "/getUsers?app=nobody&x=";
        format!(
            "GET {target}{} HTTP/1.1\r\nHost: h\r\n\r\n",
            "y".repeat(size - target.len())
        )
    };
    assert_eq!(accepted(&server, with(TARGET_BYTES_MAX)).text(), NOBODY);
    refused(&server, with(TARGET_BYTES_MAX + 1), &[414]);
    refused(&server, with(TARGET_BYTES_MAX * 3), &[414]);
    let mut conn = Conn::open(&server);
    conn.send(format!("GET /{}", "y".repeat(HEAD_BYTES_MAX)));
    refusal(&mut conn, "a request line without an end", &[414, 431]);
}

#[test]
fn a_slow_head_gets_408() {
    let server = Server::configured("head_timeout = 0.5\n");
    for part in [
        "G",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r",
    ] {
        let mut conn = Conn::open(&server);
        conn.send(part);
        refusal(&mut conn, part, &[408]);
    }
    // The second request of a connection has the same deadline, not that of an idle one.
    let mut conn = Conn::open(&server);
    assert_eq!(conn.ask(PLAIN.to_owned() + "GET / HT").text(), NOBODY);
    refusal(&mut conn, "the second head", &[408]);
}

#[test]
fn a_dripping_head_gets_408() {
    let server = Server::configured("head_timeout = 0.3\n");
    let mut conn = Conn::open(&server);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}",
        "y".repeat(HEAD_BYTES_MAX / 2)
    );
    let deadline = Instant::now() + WAIT;
    let mut bytes = request.bytes();
    while !conn.readable_within(Duration::from_millis(10)) {
        assert!(
            Instant::now() < deadline,
            "bytes that keep coming must not extend the deadline"
        );
        // It may have closed since.
        let _ = conn.offer(&[bytes.next().unwrap_or(b'y')]);
    }
    refusal(&mut conn, "a dripping head", &[408]);
}

#[test]
fn a_slow_body_gets_408() {
    let server = Server::configured("body_timeout = 0.2\n");
    for request in [
        "POST /getUsers HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n",
        "POST /getUsers HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\napp=",
        "POST /getUsers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\napp=q\r\n",
        "POST /getUsers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\napp=q\r\n0\r\n",
    ] {
        let mut conn = Conn::open(&server);
        conn.send(request);
        refusal(&mut conn, request, &[408]);
    }
}

#[test]
fn an_idle_connection_ends_silently() {
    let server = Server::configured("keepalive_timeout = 0.5\n");
    let mut conn = Conn::open(&server);
    assert_eq!(conn.ask(PLAIN).text(), NOBODY);
    assert_eq!(conn.ask(PLAIN).text(), NOBODY);
    conn.ended();
}

#[test]
fn a_connection_that_never_asks_ends() {
    let server = Server::configured("head_timeout = 0.2\nkeepalive_timeout = 0.2\n");
    let mut conn = Conn::open(&server);
    let said = String::from_utf8_lossy(&conn.rest()).into_owned();
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 408 "),
        "{said}"
    );
}

#[test]
fn short_deadlines_do_not_end_a_long_poll() {
    let server =
        Server::configured("head_timeout = 0.5\nbody_timeout = 0.5\nkeepalive_timeout = 0.5\n");
    let mut poll = Conn::open(&server);
    let asked = Instant::now();
    poll.send("GET /getMsg?app=lp&user=u&timeout=1.5 HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_users(&server, "lp", r#"["u"]"#);
    let answer = poll.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert!(
        asked.elapsed() >= Duration::from_millis(1500),
        "after {:?}",
        asked.elapsed()
    );
}

#[test]
fn connections_beyond_the_cap_get_503() {
    for setting in ["max_connections = 3\n", "max_connections_per_address = 3\n"] {
        let server = Server::configured(setting);
        let mut open: Vec<Conn> = (0..3).map(|_| Conn::open(&server)).collect();
        for conn in &mut open {
            assert_eq!(conn.ask(PLAIN).text(), NOBODY);
        }
        let mut beyond = Conn::open(&server);
        // It may have been answered and closed before it asked.
        let _ = beyond.offer(PLAIN.as_bytes());
        refusal(&mut beyond, setting, &[503]);
        for conn in &mut open {
            assert_eq!(conn.ask(PLAIN).text(), NOBODY, "those before it go on");
        }
        drop(open.pop());
        // A place that was given back is taken again.
        crate::common::wait_for("a free place", || {
            let mut conn = Conn::open(&server);
            let _ = conn.offer(PLAIN.as_bytes());
            (conn.answer().status == 200).then_some(())
        });
    }
}

#[test]
fn a_caller_that_does_not_read_its_answers_is_not_read_either() {
    const REQUESTS: usize = 30_000;
    let server = Server::start();
    let mut conn = Conn::open_narrow(&server);
    let mut other = Conn::open(&server);
    // 30 MB of requests, so that no buffer of the kernel holds them, and as much of answers.
    let request = format!(
        "GET /stat HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "y".repeat(1000)
    );
    let bytes = request.repeat(REQUESTS).into_bytes();
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 50 {
        assert!(
            sent < bytes.len(),
            "the server took all and could get rid of little"
        );
        match conn.send_some(&bytes[sent..]) {
            // An answer on another connection says that the server has had its turn.
            0 => stuck += usize::from(other.ask(PLAIN).text() == NOBODY),
            more => (sent, stuck) = (sent + more, 0),
        }
    }
    let mut writer = conn.twin();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.send(&bytes[sent..]));
        for n in 0..REQUESTS {
            assert!(conn.answer().text().starts_with("[0,{"), "answer {n}");
        }
    });
    let peak = server.memory_peak();
    assert!(peak < 32 << 20, "{peak} bytes at its peak");
}

#[test]
fn unfinished_bodies_share_a_cap() {
    let server = Server::start();
    let head = "POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n";
    let bytes = [head.as_bytes(), &vec![b'x'; 4_000_000]].concat();
    let mut open: Vec<Conn> = Vec::new();
    for _ in 0..60 {
        let mut conn = Conn::open(&server);
        // Beyond the cap it may be answered and closed before it is through.
        let _ = conn.offer(&bytes);
        open.push(conn);
    }
    // The server has read what it will: it still answers others, and it did not keep all 240 MB.
    assert_eq!(Conn::open(&server).ask(PLAIN).text(), NOBODY);
    let peak = server.memory_peak();
    assert!(peak < 160 << 20, "{peak} bytes at its peak");
}

#[test]
fn who_was_refused_and_stays_is_cut() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    conn.send("GET / HTTP/1.1\r\n\r\n");
    refusal(&mut conn, "no Host", &[400]);
    wait_alone(&server);
    drop(conn);
}
