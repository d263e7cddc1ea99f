use super::*;
use crate::call::callback::build;
use crate::message::{Job, JobDone};
use crate::settings::IpNet;
use crate::worker::{Work, WorkerPool};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

const LONG_MS: u64 = 60_000;

/// What a test server saw.
#[derive(Debug)]
struct Seen {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn has(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|given| given.eq_ignore_ascii_case(line))
    }
}

/// Accepts connections on `127.0.0.1`, each on a thread of its own, until the process ends. Gives the port.
fn listen(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (at, stream) in listener.incoming().flatten().enumerate() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(at, stream));
        }
    });
    port
}

/// One request; `None` at the connection's end.
fn request(connection: usize, reader: &mut impl BufRead) -> Option<Seen> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name.eq_ignore_ascii_case("content-length")).then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        connection,
        head,
        body,
    })
}

/// A server that gives an answer to every request by what it is, and tells what it saw.
fn server(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> (u16, Receiver<Seen>) {
    let (seen, requests): (Sender<Seen>, _) = unbounded();
    let port = listen(move |at, mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        while let Some(request) = request(at, &mut reader) {
            let answer = answer(&request);
            let _ = seen.send(request);
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn redirect(status: u16, to: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 2\r\n\r\nno").into_bytes()
}

fn callback(fields: &Value, timeout_ms: u64) -> Callback {
    Callback {
        timer: -7,
        version: 3,
        request: build(fields.as_object().expect("an object")).expect("a request"),
        timeout_ms,
    }
}

fn call(callbacks: &Callbacks, fields: Value) -> Result<(u16, String), String> {
    let done = callbacks.run(callback(&fields, LONG_MS));
    assert_eq!((done.timer, done.version, done.timed_out), (-7, 3, false));
    outcome(done)
}

fn outcome(done: CallbackDone) -> Result<(u16, String), String> {
    match done.outcome {
        Ok((status, text)) => Ok((status, text.into())),
        Err(reason) => Err(reason.into()),
    }
}

fn is(status: u16, text: &str) -> Result<(u16, String), String> {
    Ok((status, text.to_owned()))
}

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter()
        .map(|net| net.parse().expect("a network"))
        .collect()
}

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

#[test]
fn a_get_survives_a_connection_closed_under_it_and_a_post_is_not_doubled() {
    for (method, tries) in [("GET", 3), ("POST", 2)] {
        let (seen, requests) = unbounded();
        let port = listen(move |at, mut stream| {
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            for turn in 0..2 {
                let Some(request) = request(at, &mut reader) else {
                    return;
                };
                let _ = seen.send(request.connection);
                if turn == 0 && stream.write_all(&ok("")).is_err() {
                    return;
                }
            }
        });
        let callbacks = Callbacks::default();
        let run = || {
            call(
                &callbacks,
                json!({"url": format!("127.0.0.1:{port}"), "method": method}),
            )
        };
        assert_eq!(run(), is(200, ""));
        assert_eq!(run().is_ok(), method == "GET");
        assert_eq!(requests.try_iter().count(), tries, "{method}");
    }
}

#[test]
fn a_first_connection_that_is_closed_is_not_tried_again() {
    let (seen, requests) = unbounded();
    let port = listen(move |at, stream| {
        let _ = seen.send(request(at, &mut BufReader::new(stream)).is_some());
    });
    let done = call(
        &Callbacks::default(),
        json!({"url": format!("127.0.0.1:{port}")}),
    );
    assert!(done.is_err());
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn forbidden_addresses_are_not_called() {
    let (port, requests) = server(move |seen| match &seen.head[..6] {
        "GET /r" => redirect(302, "http://127.0.0.2:1/"),
        _ => ok("in"),
    });
    let callbacks = Callbacks::default();
    let get = |path: &str| {
        call(
            &callbacks,
            json!({"url": format!("127.0.0.1:{port}/{path}")}),
        )
    };
    assert_eq!(get(""), is(200, "in"));
    let set = |allow: &[&str], deny: &[&str]| {
        callbacks.set(CallbackSettings {
            insecure: false,
            guard: client_guard(allow, deny),
        });
    };
    set(&[], &["127.0.0.2"]);
    assert_eq!(get(""), is(200, "in"));
    let denied = |address: &str| {
        Err(format!(
            "address {address} is not allowed (callback_allow, callback_deny)"
        ))
    };
    assert_eq!(get("r"), denied("127.0.0.2"));
    // A kept connection must not be a way around a new list.
    set(&[], &["127.0.0.0/8"]);
    assert_eq!(get(""), denied("127.0.0.1"));
    set(&["10.0.0.0/8"], &[]);
    assert_eq!(get(""), denied("127.0.0.1"));
    assert_eq!(requests.try_iter().count(), 3);
}

fn client_guard(allow: &[&str], deny: &[&str]) -> crate::worker::resolver::Guard {
    crate::worker::resolver::Guard {
        allow: nets(allow),
        deny: nets(deny),
    }
}

#[test]
fn an_interrupt_cuts_running_calls_of_old_settings_too() {
    let (seen, requests) = unbounded();
    let port = listen(move |at, stream| {
        let mut reader = BufReader::new(stream);
        while request(at, &mut reader).is_some() {
            let _ = seen.send(());
        }
    });
    let callbacks = Callbacks::default();
    let url = json!({"url": format!("127.0.0.1:{port}")});
    std::thread::scope(|scope| {
        let old = scope.spawn(|| call(&callbacks, url.clone()));
        requests.recv().expect("the first");
        callbacks.set(CallbackSettings {
            insecure: true,
            ..CallbackSettings::default()
        });
        let new = scope.spawn(|| call(&callbacks, url.clone()));
        requests.recv().expect("the second");
        callbacks.interrupt();
        for running in [old, new] {
            let stopped = Err("interrupted: the daemon stops".to_owned());
            assert_eq!(running.join().expect("no panic"), stopped);
        }
    });
    assert!(call(&callbacks, url.clone()).is_err());
    callbacks.set(CallbackSettings::default());
    assert!(call(&callbacks, url).is_err());
    assert_eq!(requests.try_iter().count(), 0);
}

/// A TLS server with a certificate that nobody signed.
fn tls_server() -> u16 {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("a key that fits");
    let config = Arc::new(config);
    listen(move |at, stream| {
        let tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("TLS");
        let mut reader = BufReader::new(rustls::StreamOwned::new(tls, stream));
        while request(at, &mut reader).is_some() {
            let text = ok(&at.to_string());
            if reader.get_mut().write_all(&text).is_err() {
                return;
            }
        }
    })
}

#[test]
fn self_signed_certificates_pass_only_where_told_and_on_a_workers_stack() {
    let port = tls_server();
    let work = Work::default();
    let run = |times: usize| {
        let (replies, outcomes) = unbounded();
        let work = work.clone();
        let pool = WorkerPool::new(1, work, move |done| {
            let _ = replies.send(done);
        });
        let fields = json!({"url": format!("https://127.0.0.1:{port}/")});
        for _ in 0..times {
            let job = Job::Callback(Box::new(callback(&fields, LONG_MS)));
            assert!(pool.submit(job).is_ok());
        }
        let next = || match outcomes.recv() {
            Ok(JobDone::Callback(done)) => outcome(*done),
            other => panic!("{other:?}"),
        };
        (0..times).map(|_| next()).collect::<Vec<_>>()
    };
    let refused = run(1).remove(0);
    assert!(
        refused
            .as_ref()
            .is_err_and(|reason| reason.starts_with("TLS: invalid peer certificate")),
        "{refused:?}"
    );
    let mut settings = crate::settings::Settings::default();
    settings.callback_insecure = true;
    work.set_settings(&settings);
    // All on one connection: the second of the server.
    assert_eq!(run(3), [is(200, "1"), is(200, "1"), is(200, "1")]);
    let plain = call(
        &work.callbacks,
        json!({"url": format!("http://127.0.0.1:{port}/")}),
    );
    assert!(plain.is_err());
    let (port, _requests) = server(|_| ok(""));
    let reason = call(
        &work.callbacks,
        json!({"url": format!("https://127.0.0.1:{port}/")}),
    );
    assert!(
        reason
            .as_ref()
            .is_err_and(|reason| reason.starts_with("TLS: ")),
        "{reason:?}"
    );
}
