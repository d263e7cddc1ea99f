//! What is taken of an answer, and what a failure is called.

use super::*;

#[test]
fn any_status_is_an_answer() {
    let (port, _requests) = server(|seen| {
        let status = &seen.head[5..8];
        let length = if status == "204" || status == "304" {
            ""
        } else {
            "Content-Length: 3\r\n"
        };
        let body = if length.is_empty() { "" } else { "abc" };
        format!("HTTP/1.1 {status} X\r\n{length}\r\n{body}").into_bytes()
    });
    let callbacks = Callbacks::default();
    for status in [200, 204, 300, 301, 304, 404, 500, 599] {
        let body = if matches!(status, 204 | 304) {
            ""
        } else {
            "abc"
        };
        let url = format!("127.0.0.1:{port}/{status}");
        assert_eq!(call(&callbacks, json!({"url": url})), is(status, body));
    }
}

#[test]
fn chunked_answers_are_read_and_long_ones_cut() {
    let (port, requests) = server(|seen| {
        match &seen.head[..6] {
        "GET /a" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n".to_vec(),
        "GET /b" => ok(&"é".repeat(CALLBACK_ANSWER_BYTES_MAX * 8)),
        "GET /c" => ok(&format!("{}é", "x".repeat(CALLBACK_ANSWER_KEPT_BYTES_MAX - 1))),
        _ => [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", &b"a\xff\xc3("[..]].concat(),
    }
    });
    let callbacks = Callbacks::default();
    let get = |path: &str| {
        call(
            &callbacks,
            json!({"url": format!("127.0.0.1:{port}/{path}")}),
        )
    };
    assert_eq!(get("a"), is(200, "abcde"));
    assert_eq!(get("b"), is(200, &"é".repeat(100)));
    assert_eq!(
        get("c"),
        is(200, &"x".repeat(CALLBACK_ANSWER_KEPT_BYTES_MAX - 1))
    );
    assert_eq!(get("d"), is(200, "a\u{fffd}\u{fffd}("));
    let connections: Vec<usize> = requests.try_iter().map(|seen| seen.connection).collect();
    assert_eq!(connections[..2], [0, 0]);
    assert!(
        connections[2..].iter().all(|at| *at == 1),
        "{connections:?}"
    );
}

#[test]
fn a_dripping_answer_ends_at_the_timeout() {
    for head in [
        "HTTP/1.1 200 OK\r\nX: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
    ] {
        let port = listen(move |at, mut stream| {
            let _ = request(
                at,
                &mut BufReader::new(stream.try_clone().expect("a handle")),
            );
            let _ = stream.write_all(head.as_bytes());
            let (_never, tick) = unbounded::<()>();
            while stream.write_all(b"x").is_ok() {
                let _ = tick.recv_timeout(Duration::from_millis(5));
            }
        });
        let done =
            Callbacks::default().run(callback(&json!({"url": format!("127.0.0.1:{port}")}), 100));
        assert!(
            done.timed_out && done.took_ms >= 100 && done.took_ms < 30_000,
            "{done:?}"
        );
        assert_eq!(outcome(done), Err("timeout after 100 ms".to_owned()));
    }
}

#[test]
fn failures_say_what_happened() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}/", free.expect("a port"));
    let callbacks = Callbacks::default();
    let refused = "connect: Connection refused".to_owned();
    assert_eq!(call(&callbacks, json!({"url": url})), Err(refused));
    let (port, _requests) = server(|seen| match &seen.head[..6] {
        "GET /a" => b"SSH-2.0-x\r\n\r\n".to_vec(),
        "GET /b" => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000)).into_bytes(),
        _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    });
    for (path, begin) in [
        ("a", "answer: "),
        ("b", "answer: its head is too large"),
        ("c", "answer: "),
    ] {
        let reason = call(
            &callbacks,
            json!({"url": format!("127.0.0.1:{port}/{path}")}),
        );
        assert!(
            reason
                .as_ref()
                .is_err_and(|reason| reason.starts_with(begin)),
            "{reason:?}"
        );
    }
    let port = listen(|at, mut stream| {
        let _ = request(
            at,
            &mut BufReader::new(stream.try_clone().expect("a handle")),
        );
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    });
    let closed = "connection closed before the answer was whole".to_owned();
    assert_eq!(
        call(&callbacks, json!({"url": format!("127.0.0.1:{port}")})),
        Err(closed)
    );
}
