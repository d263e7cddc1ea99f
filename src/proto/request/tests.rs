use super::*;
use crate::limits::TARGET_BYTES_MAX;

mod end;

const HOST: &str = "Host: h\r\n";

/// Parses `text` and gives what `facts` takes from the head, or the status.
fn with_head<T>(text: &[u8], facts: impl FnOnce(&Head<'_, '_>) -> T) -> Result<T, u16> {
    let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    parse(text, &mut slots)
        .map(|head| facts(&head))
        .map_err(|error| error.status)
}

#[track_caller]
fn check_status(text: &str, status: u16) {
    assert_eq!(with_head(text.as_bytes(), |_| ()), Err(status), "{text:?}");
}

#[track_caller]
fn check_ok(text: &str) {
    assert_eq!(with_head(text.as_bytes(), |_| ()), Ok(()), "{text:?}");
}

/// Checks one fact of a request with the given header lines on HTTP/1.1 (with Host) or 1.0.
#[track_caller]
fn check_fact<T: PartialEq + std::fmt::Debug>(
    request: &str,
    lines: &str,
    fact: impl FnOnce(&Head<'_, '_>) -> T,
    expected: Result<T, u16>,
) {
    let text = format!("{request}\r\n{HOST}{lines}\r\n");
    assert_eq!(with_head(text.as_bytes(), fact), expected, "{text:?}");
}

#[test]
fn a_plain_request() {
    let text =
        b"GET /push?app=a&user=* HTTP/1.1\r\nHost: h:1\r\nX-A:  1 \r\nx-a:\r\nAccept: */*\r\n\r\n";
    let facts = with_head(text, |head| {
        assert_eq!(
            (head.method, head.path, head.query, head.minor),
            (Method::Get, "/push", "app=a&user=*", 1)
        );
        assert_eq!((head.framing, head.keep_alive), (Framing::None, true));
        assert!(!head.upgrade && !head.expect_continue);
        assert_eq!(head.header("HOST"), Some(&b"h:1"[..]));
        assert_eq!(head.header("none"), None);
        assert_eq!(head.headers("X-a").collect::<Vec<_>>(), [&b"1"[..], b""]);
    });
    assert_eq!(facts, Ok(()));
}

#[test]
fn methods() {
    for (text, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("PATCH", Method::Patch),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("get", Method::Other("get")),
        ("M-SEARCH", Method::Other("M-SEARCH")),
        ("GETX", Method::Other("GETX")),
        ("POSTER", Method::Other("POSTER")),
        ("!#$%&'*+-.^_`|~1", Method::Other("!#$%&'*+-.^_`|~1")),
    ] {
        let request = format!("{text} / HTTP/1.1\r\n{HOST}\r\n");
        let same = with_head(request.as_bytes(), |head| head.method == method);
        assert_eq!(same, Ok(true), "{text}");
    }
    check_status("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 405);
    check_status("CONNECT / HTTP/1.1\r\n\r\n", 405);
    for method in ["", " ", "G(T", "G\tT", "G:", "GÉT", "\"GET\""] {
        check_status(&format!("{method} / HTTP/1.1\r\n{HOST}\r\n"), 400);
    }
}

#[test]
fn request_lines() {
    for line in [
        "GET",
        "GET ",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "POST * HTTP/1.1",
        "OPTIONS *a HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /é HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET http://u@h/ HTTP/1.1",
        "GET h:80 HTTP/1.1",
    ] {
        check_status(&format!("{line}\r\n{HOST}\r\n"), 400);
    }
    check_fact(
        "OPTIONS * HTTP/1.1",
        "",
        |h| (h.path == "*", h.method == Method::Options),
        Ok((true, true)),
    );
    check_fact(
        "GET HTTP://x:1?a=b HTTP/1.1",
        "",
        |h| (h.path == "/", h.query == "a=b"),
        Ok((true, true)),
    );
    let target = |bytes: usize| format!("GET /{} HTTP/1.1", "a".repeat(bytes - 1));
    check_fact(
        &target(TARGET_BYTES_MAX),
        "",
        |h| h.path.len(),
        Ok(TARGET_BYTES_MAX),
    );
    check_fact(&target(TARGET_BYTES_MAX + 1), "", |_| (), Err(414));
}

#[test]
fn versions() {
    check_fact("GET / HTTP/1.0", "", |h| h.minor, Ok(0));
    check_fact("GET / HTTP/1.1", "", |h| h.minor, Ok(1));
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        check_fact(&format!("GET / {version}"), "", |_| (), Err(505));
    }
    for version in [
        "http/1.1",
        "HTTP/1",
        "HTTP/2",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/1.1a",
        "HTTP/01.1",
        "HTTP/1,1",
        "HTTP 1.1",
        "HTTPS/1.1",
        "HTTP/a.1",
        "ICY/1.1",
    ] {
        check_fact(&format!("GET / {version}"), "", |_| (), Err(400));
    }
    check_status("PRI * HTTP/2.0\r\n\r\n", 505);
}

#[test]
fn line_ends() {
    check_ok("\r\n\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n");
    for text in [
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost:\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\n",
        "GET / HTTP/1.1\r\nHost:\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \r\n\r\nx",
        "GET / HTTP/1.1\r\nHost:\r\n",
        "",
        "\r\n",
        "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n Host:\r\n\r\n",
    ] {
        check_status(text, 400);
    }
}

#[test]
fn header_lines() {
    for line in [
        "A b: c",
        "A : b",
        ": b",
        "A",
        "A\tb: c",
        "é: b",
        "A\0: b",
        "A: \0",
        "A: \u{1}",
        "A: b\u{7f}",
        "A: \u{1b}[0m",
    ] {
        check_fact("GET / HTTP/1.1", &format!("{line}\r\n"), |_| (), Err(400));
    }
    // Long values and targets go through vector instructions in httparse: no byte may slip through there.
    for byte in (0..=255u8).filter(|&b| b != b'\r' && b != b'\n') {
        for padding in [0, 15, 40, 70] {
            let pad = "x".repeat(padding);
            let head = |target: &[u8], value: &[u8]| {
                [
                    b"GET /",
                    pad.as_bytes(),
                    target,
                    pad.as_bytes(),
                    b" HTTP/1.1\r\nHost: h\r\nA: ",
                    pad.as_bytes(),
                    value,
                    pad.as_bytes(),
                    b"y\r\n\r\n",
                ]
                .concat()
            };
            let value_is_valid = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(
                with_head(&head(b"", &[byte]), |_| ()).is_ok(),
                value_is_valid,
                "value {byte:#x} {padding}"
            );
            let target_is_valid = (0x21..0x7f).contains(&byte) && byte != b'#';
            assert_eq!(
                with_head(&head(&[byte], b""), |_| ()).is_ok(),
                target_is_valid,
                "target {byte:#x} {padding}"
            );
        }
    }
    let lines = |count: usize| "A: b\r\n".repeat(count);
    check_fact("GET / HTTP/1.1", &lines(HEADERS_MAX - 1), |_| (), Ok(()));
    check_fact("GET / HTTP/1.1", &lines(HEADERS_MAX), |_| (), Err(431));
}

#[test]
fn hosts() {
    for lines in [
        "Host:\r\n",
        "Host: \r\n",
        "host: a.b:80\r\n",
        "HOST: [::1]:8081\r\n",
    ] {
        check_ok(&format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        check_ok(&format!("GET http://other/ HTTP/1.1\r\n{lines}\r\n"));
    }
    check_ok("GET / HTTP/1.0\r\n\r\n");
    check_ok("GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    check_status("GET / HTTP/1.1\r\n\r\n", 400);
    check_status("GET http://h/ HTTP/1.1\r\n\r\n", 400);
    for lines in [
        "Host: h\r\nHost: h\r\n",
        "Host: h\r\nhost:\r\n",
        "Host: a b\r\n",
        "Host: u@h\r\n",
        "Host: a/b\r\n",
        "Host: h:x\r\n",
        "Host: h, g\r\n",
        "Host: é\r\n",
    ] {
        check_status(&format!("GET / HTTP/1.1\r\n{lines}\r\n"), 400);
        check_status(&format!("GET / HTTP/1.0\r\n{lines}\r\n"), 400);
    }
}

#[test]
fn lengths() {
    let check = |lines: &str, expected| {
        check_fact("POST / HTTP/1.1", lines, |h| h.framing, expected);
        check_fact("POST / HTTP/1.0", lines, |h| h.framing, expected);
    };
    check("", Ok(Framing::None));
    check("Content-Length: 0\r\n", Ok(Framing::Sized(0)));
    check("content-length:  5 \r\n", Ok(Framing::Sized(5)));
    check("Content-Length: 0005\r\n", Ok(Framing::Sized(5)));
    check(
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        Ok(Framing::Sized(5)),
    );
    check(
        "Content-Length: 18446744073709551615\r\n",
        Ok(Framing::Sized(u64::MAX)),
    );
    for value in [
        "",
        "+5",
        "-5",
        "5, 5",
        "5,6",
        "5 5",
        "0x5",
        "5a",
        "5.0",
        "5;",
        "\"5\"",
        "٥",
        "18446744073709551616",
        "99999999999999999999999999",
        "5\r\nContent-Length: 6",
        "5\r\nContent-Length:",
        "5\r\nTransfer-Encoding: chunked",
        "0\r\nTransfer-Encoding: chunked",
        "5\r\nTransfer-Encoding: identity",
    ] {
        check(&format!("Content-Length: {value}\r\n"), Err(400));
    }
}

#[test]
fn codings() {
    let check = |value: &str, expected| {
        let lines = format!("Transfer-Encoding: {value}\r\n");
        check_fact("POST / HTTP/1.1", &lines, |h| h.framing, expected);
        check_fact("POST / HTTP/1.0", &lines, |h| h.framing, Err(400));
    };
    check("chunked", Ok(Framing::Chunked));
    check(" CHUNKED\t", Ok(Framing::Chunked));
    for value in [
        "",
        ",",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding:",
        "chunked;",
        "chunked;a=b",
        "chunked ;a",
        "chun ked",
        "\"chunked\"",
        "chunked\u{e9}",
        ";a",
        "gzip,,chunked",
        "chunked\r\nContent-Length: 5",
        "gzip, chunked, chunked",
    ] {
        check(value, Err(400));
    }
    for value in [
        "gzip",
        "gzip, chunked",
        "identity",
        "xchunked",
        "chunked, gzip",
        "gzip;q=1",
        "deflate\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
    ] {
        check(value, Err(501));
    }
}

#[test]
fn persistence() {
    let check = |lines: &str, on_1_1, on_1_0| {
        check_fact("GET / HTTP/1.1", lines, |h| h.keep_alive, Ok(on_1_1));
        check_fact("GET / HTTP/1.0", lines, |h| h.keep_alive, Ok(on_1_0));
    };
    check("", true, false);
    check("Connection: keep-alive\r\n", true, true);
    check("Connection: Keep-Alive, x\r\n", true, true);
    check("Connection: CLOSE\r\n", false, false);
    check("Connection: x,close ,y\r\n", false, false);
    check(
        "Connection: keep-alive\r\nconnection: close\r\n",
        false,
        false,
    );
    check("Connection: close, keep-alive\r\n", false, false);
    check("Connection: closed, keep-alivee\r\n", true, false);
    check("Connection:\r\n", true, false);
    check("Keep-Alive: close\r\n", true, false);
}

#[test]
fn expectations() {
    let check = |lines: &str, on_1_1| {
        check_fact("POST / HTTP/1.1", lines, |h| h.expect_continue, on_1_1);
        check_fact("POST / HTTP/1.0", lines, |h| h.expect_continue, Ok(false));
    };
    check("Content-Length: 1\r\nExpect: 100-continue\r\n", Ok(true));
    check(
        "Content-Length: 1\r\nexpect: 100-Continue, 100-continue\r\n",
        Ok(true),
    );
    check("Content-Length: 0\r\nExpect: 100-continue\r\n", Ok(false));
    check("Expect: 100-continue\r\n", Ok(false));
    check("Content-Length: 1\r\nExpect:\r\n", Ok(false));
    for value in [
        "x",
        "100-continue, x",
        "100-continue;a",
        "101-continue",
        "100-continue\r\nExpect: x",
    ] {
        check(
            &format!("Content-Length: 1\r\nExpect: {value}\r\n"),
            Err(417),
        );
    }
    check_fact(
        "POST / HTTP/1.1",
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
        |h| h.expect_continue,
        Ok(true),
    );
}

#[test]
fn upgrades() {
    let check = |request: &str, lines: &str, expected| {
        check_fact(request, lines, |h| h.upgrade, Ok(expected))
    };
    let both = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    check("GET /any?x HTTP/1.1", both, true);
    check(
        "GET / HTTP/1.1",
        "Upgrade: h2c\r\nupgrade: a, WebSocket\r\nConnection: keep-alive\r\nConnection: x, UPGRADE\r\n",
        true,
    );
    check(
        "GET / HTTP/1.1",
        &format!("{both}Content-Length: 0\r\n"),
        true,
    );
    check(
        "GET / HTTP/1.1",
        &format!("{both}Content-Length: 1\r\n"),
        false,
    );
    check(
        "GET / HTTP/1.1",
        &format!("{both}Transfer-Encoding: chunked\r\n"),
        false,
    );
    check("GET / HTTP/1.0", both, false);
    check("POST / HTTP/1.1", both, false);
    check("HEAD / HTTP/1.1", both, false);
    check("GET / HTTP/1.1", "Upgrade: websocket\r\n", false);
    check("GET / HTTP/1.1", "Connection: Upgrade\r\n", false);
    check(
        "GET / HTTP/1.1",
        "Upgrade: websockets\r\nConnection: Upgrade\r\n",
        false,
    );
    check(
        "GET / HTTP/1.1",
        "Upgrade: websocket\r\nConnection: upgraded, up grade\r\n",
        false,
    );
}
