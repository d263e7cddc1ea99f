//! What is sent: methods, bodies, heads, and what a redirect makes of them.

use super::*;

#[test]
fn connections_are_kept_and_requests_are_plain() {
    let (port, requests) = server(|_| ok("hi"));
    let callbacks = Callbacks::default();
    let url = format!("http://u:p@127.0.0.1:{port}/a b?c=é");
    for _ in 0..5 {
        assert_eq!(call(&callbacks, json!({"url": url})), is(200, "hi"));
    }
    let data = json!({"url": url, "data": {"a": [1]}, "headers": ["X-A: 1", "X-A: 2"]});
    assert_eq!(call(&callbacks, data), is(200, "hi"));
    let seen: Vec<Seen> = requests.try_iter().collect();
    assert!(seen.iter().all(|seen| seen.connection == 0), "{seen:?}");
    let version = env!("CARGO_PKG_VERSION");
    let mut lines: Vec<String> = seen[0].head.lines().map(str::to_ascii_lowercase).collect();
    lines[1..].sort_unstable();
    let want = [
        "get /a%20b?c=%c3%a9 http/1.1".to_owned(),
        "accept: */*".to_owned(),
        "authorization: basic dtpw".to_owned(),
        format!("host: 127.0.0.1:{port}"),
        format!("user-agent: jdserver/{version}"),
    ];
    assert_eq!(lines, want);
    let post = &seen[5];
    assert!(post.head.starts_with("POST /a%20b"), "{post:?}");
    for line in [
        "x-a: 1",
        "x-a: 2",
        "content-length: 10",
        "content-type: application/x-www-form-urlencoded",
    ] {
        assert!(post.has(line), "{line} {post:?}");
    }
    assert_eq!(post.body, b"a%5B0%5D=1");
}

#[test]
fn any_method_with_and_without_a_body() {
    let (port, requests) = server(|seen| match seen.head.starts_with("HEAD") {
        true => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec(),
        false => ok(""),
    });
    let callbacks = Callbacks::default();
    let large = "x".repeat(1 << 20);
    for (method, data, length) in [
        ("GET", json!(null), None),
        ("GET", json!("abc"), Some(3)),
        ("POST", json!(null), Some(0)),
        ("POST", json!(""), Some(0)),
        ("PUT", json!(large), Some(1 << 20)),
        ("DELETE", json!(null), None),
        ("DELETE", json!("abc"), Some(3)),
        ("HEAD", json!(null), None),
        ("PURGE", json!(null), None),
    ] {
        let url = format!("127.0.0.1:{port}");
        let done = call(
            &callbacks,
            json!({"url": url, "method": method, "data": data, "headers": ["Content-Length: 77"]}),
        );
        assert_eq!(done, is(200, ""), "{method}");
        let seen = requests.recv().expect("one");
        assert!(
            seen.head.starts_with(&format!("{method} / HTTP/1.1\r\n")),
            "{seen:?}"
        );
        assert_eq!(seen.body.len(), length.unwrap_or(0), "{method}");
        assert_eq!(
            seen.head.contains("content-length"),
            length.is_some(),
            "{method}"
        );
        assert_eq!(seen.connection, 0);
    }
}

#[test]
fn the_longest_lines_fit() {
    let (port, requests) = server(|_| ok(""));
    let url = format!("127.0.0.1:{port}/{}", "x".repeat(8_100));
    let header = format!("X: {}", "y".repeat(8_100));
    let done = call(
        &Callbacks::default(),
        json!({"url": url, "headers": [header, header, header]}),
    );
    assert_eq!(done, is(200, ""));
    assert!(requests.recv().expect("one").head.len() > 32_000);
}

#[test]
fn only_a_get_follows_redirects() {
    let (other, elsewhere) = server(|_| ok("other"));
    let (port, requests) = server(move |seen| {
        let path = seen.head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/a/1" => redirect(302, "2?x=1"),
            "/a/2?x=1" => redirect(308, &format!("http://127.0.0.1:{other}/there#f")),
            "/ftp" => redirect(301, "ftp://127.0.0.1/"),
            "/bad" => redirect(301, "http://"),
            _ => redirect(307, "/loop"),
        }
    });
    let callbacks = Callbacks::default();
    let url = |path: &str| format!("http://u:p@127.0.0.1:{port}{path}");
    let headers = ["Cookie: a=b", "X-A: 1", "Host: mine"];
    let done = call(&callbacks, json!({"url": url("/a/1"), "headers": headers}));
    assert_eq!(done, is(200, "other"));
    for _ in 0..2 {
        let seen = requests.recv().expect("two");
        assert_eq!(seen.connection, 0);
        assert!(
            seen.has("cookie: a=b") && seen.has("host: mine") && seen.head.contains("uthorization")
        );
    }
    let seen = elsewhere.recv().expect("one");
    assert!(
        seen.has("x-a: 1") && seen.has(&format!("host: 127.0.0.1:{other}")),
        "{seen:?}"
    );
    assert!(
        !seen.head.contains("ookie") && !seen.head.contains("uthorization"),
        "{seen:?}"
    );
    for (method, data) in [
        ("POST", json!("x")),
        ("HEAD", json!(null)),
        ("GET", json!("x")),
    ] {
        let done = call(
            &callbacks,
            json!({"url": url("/a/1"), "method": method, "data": data}),
        );
        assert_eq!(done.map(|(status, _)| status), Ok(302), "{method}");
    }
    let failed = |path: &str| call(&callbacks, json!({"url": url(path)}));
    assert_eq!(failed("/loop"), Err("redirect: more than 5".to_owned()));
    for path in ["/ftp", "/bad"] {
        assert!(failed(path).is_err_and(|reason| reason.starts_with("redirect: expected")));
    }
}
