//! Where TLS and the event loop meet: split and slow handshakes, garbage, ends of either half, peers that do not read.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::common::http::{Conn, get, wait_alone};
use crate::common::server::Server;
use crate::common::wait_for;
use crate::common::websocket::{TEXT, Ws};
use crate::peer::{self, Pair};
use crate::{start, start_beside};

const GET: &str = "GET /getUsers?app=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The client's first bytes.
fn client_hello(pair: &Pair) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer::session(&Arc::new(pair.client()))
        .write_tls(&mut bytes)
        .expect("memory only");
    bytes
}

#[test]
fn a_handshake_in_single_bytes() {
    let pair = Pair::new();
    let (_server, port) = start(&pair, "");
    // Ours, so that it can be cut; the session is finished by hand.
    let mut session = peer::session(&Arc::new(pair.client()));
    let mut conn = Conn::open_port(port);
    session
        .writer()
        .write_all(GET.as_bytes())
        .expect("buffered");
    let mut answer = Vec::new();
    while !answer.ends_with(b"[0,[]]\n") {
        let mut bytes = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut bytes).expect("memory only");
        }
        for byte in bytes {
            conn.send([byte]);
        }
        session.read_tls(&mut conn).expect("bytes");
        session.process_new_packets().expect("right ones");
        let mut plain = [0; 4096];
        while let Ok(n @ 1..) = session.reader().read(&mut plain) {
            answer.extend_from_slice(&plain[..n]);
        }
    }
}

#[test]
fn slow_handshakes_have_the_time_of_a_head() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "head_timeout = 0.3\n");
    let hello = client_hello(&pair);
    for bytes in [&b""[..], &hello[..1], &hello[..100], &hello] {
        let mut conn = Conn::open_port(port);
        conn.send(bytes);
        // Nothing that could be read without keys is sent: at most the server's half of a handshake.
        let rest = conn.rest();
        assert!(
            !rest.starts_with(b"HTTP"),
            "{:?}",
            String::from_utf8_lossy(&rest)
        );
        assert_eq!(rest.is_empty(), bytes.len() < hello.len());
    }
    // Where plain HTTP is taken too, silence is answered as ever.
    assert_eq!(Conn::open(&server).answer().status, 408);
    wait_alone(&server);
}

#[test]
fn garbage_ends_its_connection_only() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "head_timeout = 0.5\n");
    let hello = client_hello(&pair);
    let broken = |at: usize| {
        let mut bytes = hello.clone();
        bytes[at] ^= 0xff;
        bytes
    };
    let mut endless = hello[..5].to_vec();
    // A handshake message of 16 MB, announced in one record and never complete.
    endless.extend([1, 0xff, 0xff, 0xff]);
    endless.resize(hello.len().max(600), 0);
    for bytes in [
        vec![22; 64 << 10],
        broken(1),
        broken(3),
        broken(5),
        broken(9),
        [hello.clone(), vec![0xaa; 4_000]].concat(),
        endless.repeat(200),
    ] {
        let mut conn = Conn::open_port(port);
        let _ = conn.offer(&bytes);
        // An alert or a reset, but an end.
        while let Ok(1..) = conn.read(&mut [0; 4096]) {}
    }
    wait_alone(&server);
    assert!(peer::open(port, &Arc::new(pair.client())).ask(GET).status == 200);
}

#[test]
fn a_request_before_either_kind_of_end_is_answered() {
    let pair = Pair::new();
    let large = "x".repeat(3 << 20);
    let setup = Server::setup().file("static/large.txt", &large);
    let (_server, port) = start_beside(setup, &pair, "");
    for says_so in [true, false] {
        let mut conn =
            Conn::open_narrow_port(port).with_tls(peer::session(&Arc::new(pair.client())));
        conn.send("GET /large.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if says_so {
            conn.tls().send_close_notify();
            let mut notice = Vec::new();
            conn.tls().write_tls(&mut notice).expect("memory only");
            conn.send_raw(&notice);
        }
        conn.half_close();
        // Read late: most of it has to wait, in the server and encrypted.
        assert!(conn.answer().body == large.as_bytes());
        conn.ended();
    }
}

#[test]
fn what_was_encrypted_and_did_not_fit_arrives_whole() {
    let pair = Pair::new();
    let (_server, port) = start(
        &pair,
        "echo = true\nmax_queue = '64M'\nmax_body = '8M'\ndeflate = false\n",
    );
    let conn = Conn::open_narrow_port(port).with_tls(peer::session(&Arc::new(pair.client())));
    let mut ws = Ws::upgrade(conn, "/echo", "").expect("upgraded");
    let texts: Vec<String> = (0..40)
        .map(|n| format!("{n}:").repeat(1 << (n % 18)))
        .collect();
    // All is sent before anything is read.
    for text in &texts {
        ws.send(TEXT, text.as_bytes());
    }
    for text in &texts {
        assert!(ws.text() == *text);
    }
}

#[test]
fn a_peer_that_does_not_read_holds_nobody_up() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "deflate = false\n");
    let client = Arc::new(pair.client());
    let conn = Conn::open_narrow_port(port).with_tls(peer::session(&client));
    let mut slow = Ws::upgrade(conn, "/", "").expect("upgraded");
    slow.init("a", "slow");
    let mut quick = Ws::upgrade(peer::open(port, &client), "/", "").expect("upgraded");
    quick.init("a", "quick");
    let text = "x".repeat(60_000);
    let message = format!(r#"{{"ac":"push","app":"a","user":"*","msg":"{text}"}}"#);
    let mut counts = Vec::new();
    // Its queue fills, then it is closed; the other one gets everything.
    while counts.last().map(String::as_str) != Some("1") {
        quick.send_text(&message);
        assert_eq!(quick.text(), text);
        counts.push(quick.text());
        assert!(counts.len() < 1_000, "it is never closed");
    }
    assert!(counts.len() > 1 && counts[..counts.len() - 1].iter().all(|count| count == "2"));
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[\"quick\"]]\n");
}

#[test]
fn many_at_once() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "");
    let client = Arc::new(pair.client());
    // All hellos are there before the first is answered in full: more than a turn takes.
    let mut conns: Vec<Conn> = (0..200).map(|_| peer::open(port, &client)).collect();
    for conn in &mut conns {
        let mut hello = Vec::new();
        conn.tls().write_tls(&mut hello).expect("memory only");
        conn.send_raw(&hello);
    }
    for conn in &mut conns {
        assert_eq!(conn.ask(GET).status, 200);
    }
    drop(conns);
    wait_alone(&server);
}

#[test]
fn a_reset_is_noticed() {
    let pair = Pair::new();
    let (server, port) = start(&pair, "");
    let mut ws =
        Ws::upgrade(peer::open(port, &Arc::new(pair.client())), "/", "").expect("upgraded");
    ws.init("a", "1");
    ws.conn.reset_on_close();
    drop(ws);
    wait_for("the user to be gone", || {
        (get(&server, "/getUsers?app=a") == "[0,[]]\n").then_some(())
    });
}
