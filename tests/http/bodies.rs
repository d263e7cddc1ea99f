//! How bodies are framed: contract 7.3, 7.4 and `Expect`.

use jdserver::limits::{CHUNK_EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX};

use crate::common::http::{Answer, Conn};
use crate::common::server::Server;
use crate::{NOBODY, PLAIN, accepted, refusal, refused};

/// A batch of one unknown call: its name comes back in the answer, so the body is seen to arrive whole.
const BATCH: &str = r#"[{"ac":"arrived"}]"#;
const ARRIVED: &str = "[0,[[1,\"接口不支持\",\"Bad request - unknown ac: arrived\"]]]\n";

/// A batch request with these framing headers and these bytes behind its head.
fn batch(framing: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!(
        "POST /batch HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{framing}\r\n"
    );
    [head.as_bytes(), body.as_ref()].concat()
}

#[track_caller]
fn arrives(server: &Server, framing: &str, body: impl AsRef<[u8]>) {
    let body = body.as_ref();
    let shown = String::from_utf8_lossy(body).into_owned();
    assert_eq!(
        accepted(server, batch(framing, body)).text(),
        ARRIVED,
        "{framing:?} {shown:?}"
    );
}

#[test]
fn content_length() {
    let server = Server::start();
    let length = BATCH.len();
    for framing in [
        format!("Content-Length: {length}\r\n"),
        format!("content-length:{length}\r\n"),
        format!("Content-Length: \t{length} \r\n"),
        format!("Content-Length: 000{length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
    ] {
        arrives(&server, &framing, BATCH);
    }
    let number = |text: &str| text.replace('N', &length.to_string());
    for value in [
        "+N", "-N", "-0", "0xN", "N, N", "N,N", "N N", "N;", "", "N.0", "1e1", "\"N\"", "１８", "a",
    ] {
        refused(
            &server,
            batch(&format!("Content-Length: {}\r\n", number(value)), BATCH),
            &[400],
        );
    }
    // Beyond 64 bits it is no number of ours; within them it is a body that is too large.
    refused(
        &server,
        batch("Content-Length: 18446744073709551616\r\n", BATCH),
        &[400],
    );
    refused(
        &server,
        batch("Content-Length: 99999999999999999999999999\r\n", BATCH),
        &[400],
    );
    refused(
        &server,
        batch("Content-Length: 18446744073709551615\r\n", BATCH),
        &[400, 413],
    );
    for other in ["0", "17", "+18"] {
        let framing = format!("Content-Length: {length}\r\nContent-Length: {other}\r\n");
        refused(&server, batch(&framing, BATCH), &[400]);
        let framing = format!("Content-Length: {other}\r\nContent-Length: {length}\r\n");
        refused(&server, batch(&framing, BATCH), &[400]);
    }
}

#[test]
fn a_post_without_a_length_has_an_empty_body() {
    let server = Server::start();
    let answer = accepted(
        &server,
        "POST /getUsers?app=nobody HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert_eq!(answer.text(), NOBODY);
}

#[test]
fn transfer_encoding() {
    let server = Server::start();
    let body = "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n";
    for framing in [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:Chunked\r\n",
        "Transfer-Encoding: \tCHUNKED \r\n",
    ] {
        arrives(&server, framing, body);
    }
    for framing in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ] {
        refused(&server, batch(framing, body), &[400, 501]);
    }
    refused(&server, batch("Transfer-Encoding: gzip\r\n", body), &[501]);
    let old = String::from_utf8(batch("Transfer-Encoding: chunked\r\n", body)).expect("ASCII");
    refused(&server, old.replace("HTTP/1.1", "HTTP/1.0"), &[400, 501]);
}

#[test]
fn both_framings_at_once() {
    let server = Server::start();
    let body = "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n";
    for length in ["18", "0", "28", "x"] {
        let framing = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
        refused(&server, batch(&framing, body), &[400]);
        let framing = format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n");
        refused(&server, batch(&framing, body), &[400]);
    }
}

#[test]
fn chunks() {
    let server = Server::start();
    let longest = "x".repeat(CHUNK_EXTENSION_BYTES_MAX / 2);
    for body in [
        "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n".to_owned(),
        "1\r\n[\r\n11\r\n{\"ac\":\"arrived\"}]\r\n0\r\n\r\n".to_owned(),
        "a\r\n[{\"ac\":\"ar\r\n8\r\nrived\"}]\r\n0\r\n\r\n".to_owned(),
        "A\r\n[{\"ac\":\"ar\r\n08\r\nrived\"}]\r\n000\r\n\r\n".to_owned(),
        "0000000000000012\r\n[{\"ac\":\"arrived\"}]\r\n0000000000000000\r\n\r\n".to_owned(),
        "12;a=b\r\n[{\"ac\":\"arrived\"}]\r\n0;last\r\n\r\n".to_owned(),
        "12;a=\"b;\\\"c\";d\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n".to_owned(),
        format!("12;{longest}\r\n[{{\"ac\":\"arrived\"}}]\r\n0\r\n\r\n"),
        "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\nX-Trailer: y\r\n\r\n".to_owned(),
        "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\nA: b\r\nContent-Length: 5\r\nHost: x\r\n\r\n"
            .to_owned(),
    ] {
        arrives(&server, "Transfer-Encoding: chunked\r\n", body);
    }
}

#[test]
fn broken_chunks() {
    let server = Server::start();
    let too_long = "x".repeat(CHUNK_EXTENSION_BYTES_MAX + 1);
    for body in [
        "00000000000000012\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12\r\n[{\"ac\":\"arrived\"}]\r\n00000000000000000\r\n\r\n",
        "\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        ";a\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "0x12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "+12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "-12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        " 12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "1g\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "1 2\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12\r[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12;a\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12;a\nb\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12;a\rb\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12\r\n[{\"ac\":\"arrived\"}]0\r\n\r\n",
        "12\r\n[{\"ac\":\"arrived\"}]\n0\r\n\r\n",
        "12\r\n[{\"ac\":\"arrived\"}]\r0\r\n\r\n",
        "11\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "13\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n",
        "12\r\n[{\"ac\":\"arrived\"}]\r\n0\n\r\n",
        "12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\nA: b\n\r\n",
    ] {
        refused(
            &server,
            batch("Transfer-Encoding: chunked\r\n", body),
            &[400],
        );
    }
    let body = format!("12;{too_long}\r\n[{{\"ac\":\"arrived\"}}]\r\n0\r\n\r\n");
    refused(
        &server,
        batch("Transfer-Encoding: chunked\r\n", body),
        &[400],
    );
    // Neither may an endless extension be waited for.
    refused(
        &server,
        batch("Transfer-Encoding: chunked\r\n", format!("12;{too_long}")),
        &[400],
    );
    let trailer = format!("0\r\nX: {}\r\n\r\n", "y".repeat(TRAILER_BYTES_MAX));
    refused(
        &server,
        batch("Transfer-Encoding: chunked\r\n", trailer),
        &[400, 431],
    );
}

#[test]
fn bodies_beyond_the_limit() {
    let server = Server::configured("max_body = 1024\n");
    let body = format!("{BATCH}{}", " ".repeat(1024 - BATCH.len()));
    arrives(&server, "Content-Length: 1024\r\n", &body);
    let chunked = format!("400\r\n{body}\r\n0\r\n\r\n");
    arrives(&server, "Transfer-Encoding: chunked\r\n", chunked);
    // Announced too large, it is refused before a byte of it came.
    for length in ["1025", "4294967296", "9223372036854775807"] {
        let mut conn = Conn::open(&server);
        let request = batch(&format!("Content-Length: {length}\r\n"), "");
        conn.send(&request);
        refusal(&mut conn, length, &[413]);
    }
    let framing = "Transfer-Encoding: chunked\r\n";
    refused(
        &server,
        batch(framing, format!("400\r\n{body}\r\n1\r\nx\r\n0\r\n\r\n")),
        &[413],
    );
    refused(
        &server,
        batch(framing, format!("401\r\n{body} \r\n0\r\n\r\n")),
        &[413],
    );
    for size in ["ffffffff", "7fffffffffffffff", "ffffffffffffffff"] {
        refused(
            &server,
            batch(framing, format!("{size}\r\n{body}\r\n0\r\n\r\n")),
            &[400, 413],
        );
        let after_one = format!("1\r\n[\r\n{size}\r\n{body}\r\n0\r\n\r\n");
        refused(&server, batch(framing, after_one), &[400, 413]);
    }
}

#[test]
fn two_mebibytes_are_taken_by_default() {
    let server = Server::start();
    let body = format!("{BATCH}{}", " ".repeat((2 << 20) - BATCH.len()));
    arrives(&server, "Content-Length: 2097152\r\n", &body);
    arrives(
        &server,
        "Transfer-Encoding: chunked\r\n",
        format!("200000\r\n{body}\r\n0\r\n\r\n"),
    );
}

#[test]
fn a_body_nobody_wants_is_not_read_as_a_request() {
    let server = Server::start();
    let smuggled = "GET /getMsg?app=a HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    let sized = format!("Content-Length: {}\r\n", smuggled.len());
    for (framing, body) in [
        (sized.as_str(), smuggled),
        ("Transfer-Encoding: chunked\r\n", chunked.as_str()),
    ] {
        for line in [
            "GET /getUsers?app=nobody",
            "GET /",
            "DELETE /getUsers?app=nobody",
            "OPTIONS /getUsers",
            "POST /nosuch.html",
        ] {
            let mut conn = Conn::open(&server);
            conn.send(format!(
                "{line} HTTP/1.1\r\nHost: h\r\n{framing}\r\n{body}{PLAIN}"
            ));
            let first = conn.answer();
            assert!(matches!(first.status, 200 | 404 | 405), "{line}: {first:?}");
            // Read and gone on, or closed: never the bytes of the body as a request.
            if !first.closes() {
                assert_eq!(conn.answer().text(), NOBODY, "{line} {framing}");
            } else {
                conn.ended();
            }
        }
    }
}

#[test]
fn expect_100_continue() {
    let server = Server::start();
    let framing = format!("Content-Length: {}\r\n", BATCH.len());
    for expect in ["Expect: 100-continue\r\n", "expect: 100-Continue\r\n"] {
        let mut conn = Conn::open(&server);
        conn.send(batch(&format!("{framing}{expect}"), ""));
        assert_eq!(conn.answer().status, 100);
        assert_eq!(conn.ask(BATCH).text(), ARRIVED);
        assert_eq!(conn.ask(PLAIN).text(), NOBODY);
    }
    let mut conn = Conn::open(&server);
    conn.send(batch(
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
        "",
    ));
    assert_eq!(conn.answer().status, 100);
    assert_eq!(
        conn.ask("12\r\n[{\"ac\":\"arrived\"}]\r\n0\r\n\r\n").text(),
        ARRIVED
    );
}

#[test]
fn expect_without_need() {
    let server = Server::start();
    let sized = format!(
        "Content-Length: {}\r\nExpect: 100-continue\r\n",
        BATCH.len()
    );
    // A body that came with its head may be answered without the interim answer.
    let mut conn = Conn::open(&server);
    conn.send(batch(&sized, BATCH));
    assert_eq!(last(&mut conn).text(), ARRIVED);
    // HTTP/1.0 knows no interim answers (RFC 9110, 10.1.1).
    let mut old = Conn::open(&server);
    let request = String::from_utf8(batch(&sized, BATCH)).expect("ASCII");
    assert_eq!(
        old.ask(request.replace("HTTP/1.1", "HTTP/1.0")).text(),
        ARRIVED
    );
    old.ended();
    // Without a body there is nothing to go on with.
    let mut bare = Conn::open(&server);
    bare.send(PLAIN.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(last(&mut bare).text(), NOBODY);
}

#[test]
fn expectations_that_cannot_be_met() {
    let server = Server::configured("max_body = 1024\n");
    let framing = format!("Content-Length: {}\r\n", BATCH.len());
    for expect in ["200-ok", "100-continue, more", "100-continue=1", "x"] {
        let mut conn = Conn::open(&server);
        conn.send(batch(&format!("{framing}Expect: {expect}\r\n"), ""));
        refusal(&mut conn, expect, &[417]);
    }
    // What is too large is refused instead of asked for.
    let mut conn = Conn::open(&server);
    conn.send(batch(
        "Content-Length: 1025\r\nExpect: 100-continue\r\n",
        "",
    ));
    refusal(&mut conn, "a body too large", &[413]);
}

/// The final answer, with or without a 100 before it.
#[track_caller]
fn last(conn: &mut Conn) -> Answer {
    let answer = conn.answer();
    if answer.status == 100 {
        conn.answer()
    } else {
        answer
    }
}
