//! Request lines and header lines: contract 7.1, 7.2, 7.7 and 7.8.

use crate::common::http::{Conn, ask, get, push, wait_users};
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::{NOBODY, PLAIN, accepted, refusal, refused};

#[test]
fn lines_end_in_crlf() {
    let server = Server::start();
    accepted(&server, PLAIN);
    for bare in [
        "GET /getUsers?app=q HTTP/1.1\nHost: h\r\n\r\n",
        "GET /getUsers?app=q HTTP/1.1\rHost: h\r\n\r\n",
        "GET /getUsers?app=q HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        "GET /getUsers?app=q HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        "GET /getUsers?app=q HTTP/1.1\r\nHost: h\n\r\n",
        "GET /getUsers?app=q HTTP/1.1\r\nHost: h\r\n\n",
        "GET /getUsers?app=q HTTP/1.1\r\nHost: h\r\r\n\r\n",
        "GET /getUsers?app=q HTTP/1.1\nHost: h\n\n",
    ] {
        refused(&server, bare, &[400]);
    }
}

#[test]
fn a_head_of_bare_line_feeds_is_refused_without_more_bytes() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    let request = "GET /getUsers?app=q HTTP/1.1\nHost: h\n\n";
    conn.send(request);
    refusal(&mut conn, request, &[400]);
}

#[test]
fn at_most_two_empty_lines_before_a_request() {
    let server = Server::start();
    for lines in 0..=2 {
        accepted(&server, "\r\n".repeat(lines) + PLAIN);
        accepted(&server, PLAIN.to_owned() + &"\r\n".repeat(lines));
    }
    refused(&server, "\r\n".repeat(3) + PLAIN, &[400]);
    refused(&server, "\n".to_owned() + PLAIN, &[400]);
    refused(&server, "\r".to_owned() + PLAIN, &[400]);
    refused(&server, "\r\n\n".to_owned() + PLAIN, &[400]);
}

#[test]
fn exactly_one_host() {
    let server = Server::start();
    let request = |hosts: &str| format!("GET /getUsers?app=q HTTP/1.1\r\n{hosts}\r\n");
    for hosts in [
        "Host: h\r\n",
        "Host:\r\n",
        "Host: \r\n",
        "hOST: 127.0.0.1:8081\r\n",
        "Host: [::1]:1\r\n",
    ] {
        assert_eq!(accepted(&server, request(hosts)).text(), NOBODY);
    }
    for hosts in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nX: y\r\nHOST:\r\n",
    ] {
        refused(&server, request(hosts), &[400]);
    }
    let mut old = Conn::open(&server);
    assert_eq!(
        old.ask("GET /getUsers?app=q HTTP/1.0\r\n\r\n").text(),
        NOBODY
    );
    old.ended();
}

#[test]
fn an_absolute_target_is_routed_by_its_path() {
    let server = Server::start();
    let request =
        |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for target in [
        "http://other/getUsers?app=q",
        "http://other:80/getUsers?app=q",
        "HTTP://h/getUsers?app=q",
    ] {
        for host in ["other", "h", ""] {
            assert_eq!(accepted(&server, request(target, host)).text(), NOBODY);
        }
    }
    let index = get(&server, "/");
    assert_eq!(
        accepted(&server, request("http://other", "h")).text(),
        index
    );
    assert_eq!(
        accepted(&server, request("http://other/", "h")).text(),
        index
    );
    refused(&server, "GET http://other/ HTTP/1.1\r\n\r\n", &[400]);
}

#[test]
fn targets_of_wrong_form() {
    let server = Server::start();
    let request = |target: &[u8]| [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let wrong: &[&[u8]] = &[
        b"/getUsers?app=q#x",
        b"/#",
        b"http://h/#x",
        b"/\x01",
        b"/a\tb",
        b"/\x7f",
        b"/\xc3\xa9",
        b"/x?a=\xff",
        b"getUsers?app=q",
        b"",
        b"*",
        b"/a b",
        b"?app=q",
        b"localhost:80",
    ];
    for target in wrong {
        refused(&server, request(target), &[400]);
    }
    assert_eq!(
        accepted(&server, request(b"/getUsers?app=%C3%A9%23")).text(),
        NOBODY
    );
}

#[test]
fn an_asterisk_is_for_options_and_connect_is_refused() {
    let server = Server::start();
    let answer = accepted(&server, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(answer.text(), "");
    refused(
        &server,
        "CONNECT localhost:80 HTTP/1.1\r\nHost: h\r\n\r\n",
        &[405],
    );
    refused(
        &server,
        "POST * HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        &[400],
    );
}

#[test]
fn request_lines_and_versions() {
    let server = Server::start();
    let request = |line: &str| format!("{line}\r\nHost: h\r\n\r\n");
    for (line, statuses) in [
        ("GET /getUsers?app=q HTTP/2.0", &[505][..]),
        ("GET /getUsers?app=q HTTP/0.9", &[505, 400]),
        ("GET /getUsers?app=q http/1.1", &[400, 505]),
        ("GET /getUsers?app=q HTTP/1.1 ", &[400, 505]),
        ("GET /getUsers?app=q HTTP/11", &[400, 505]),
        ("GET /getUsers?app=q", &[400]),
        ("GET  /getUsers?app=q HTTP/1.1", &[400]),
        (" GET /getUsers?app=q HTTP/1.1", &[400]),
        ("G@T /getUsers?app=q HTTP/1.1", &[400]),
        ("GET", &[400]),
        ("\u{16}\u{3}\u{1}\u{2}", &[400]),
    ] {
        refused(&server, request(line), statuses);
    }
    let verb = accepted(&server, request("get /getUsers?app=q HTTP/1.1")).text();
    assert_eq!(
        verb,
        "[1,\"参数不正确\",\"bad verb 'get'. use 'GET' or 'POST'\"]\n"
    );
}

#[test]
fn header_lines_of_wrong_form() {
    let server = Server::start();
    let request =
        |lines: &[u8]| [PLAIN.trim_end().as_bytes(), b"\r\n", lines, b"\r\n\r\n"].concat();
    let wrong: &[&[u8]] = &[
        b"X : y",
        b" X: y",
        b"X: y\r\n folded",
        b"X: y\r\n\tfolded",
        b"X",
        b": y",
        b"X Y: z",
        b"X: a\0b",
        b"X\xc3\xa9: y",
    ];
    for lines in wrong {
        refused(&server, request(lines), &[400]);
    }
    let right: &[&[u8]] = &[
        b"X: y",
        b"X:y",
        b"X:",
        b"X: \t y \t ",
        b"X: caf\xc3\xa9 \xff",
        b"!#$%&'*+-.^_`|~9: y",
    ];
    for lines in right {
        accepted(&server, request(lines));
    }
}

#[test]
fn percent_escapes_are_decoded_once() {
    let server = Server::setup()
        .file("static/a%20b.txt", "escaped name")
        .file("static/a b.txt", "plain")
        .start();
    assert_eq!(get(&server, "/get%55sers?app=nobody"), NOBODY);
    assert_eq!(get(&server, "/a%20b.txt"), "plain");
    assert_eq!(get(&server, "/a%2520b.txt"), "escaped name");
    assert_eq!(
        ask(&server, "GET", "/%252e%252e/x.html", "", "").status,
        404
    );
    for target in ["/%00", "/x%00.html", "/index.html%00", "/a/%00/b"] {
        refused(
            &server,
            format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"),
            &[400],
        );
    }
}

#[test]
fn dots_are_resolved_inside_the_root() {
    let server = Server::setup()
        .file("static/in/a.txt", "inside")
        .file("outside.txt", "outside")
        .start();
    for target in [
        "/in/a.txt",
        "/./in/./a.txt",
        "/in/x/../a.txt",
        "/x/%2e%2e/in/%2E/a.txt",
        "/in/x/y/../../a.txt",
    ] {
        assert_eq!(get(&server, target), "inside", "{target}");
    }
    for target in [
        "/../outside.txt",
        "/..",
        "/in/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/.%2e/outside.txt",
        "/%2e%2e%2foutside.txt",
        "/in%2f..%2f..%2foutside.txt",
    ] {
        refused(
            &server,
            format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"),
            &[400],
        );
    }
}

#[test]
fn a_peers_text_makes_no_header() {
    let server = Server::start();
    // A line end in a header value cannot come in; one that is escaped must not come out.
    for target in [
        "/getUsers?app=q&_jsonp=%0D%0AX-Evil:1",
        "/getUsers?app=%0D%0AX-Evil:%201",
        "/%0D%0AX-Evil:1",
    ] {
        let answer = ask(
            &server,
            "GET",
            target,
            "Origin: http://a%0D%0AX-Evil: 1\r\n",
            "",
        );
        assert_eq!(answer.header("x-evil"), None, "{target}");
    }
    let origin = PLAIN.replace("\r\n\r\n", "\r\nOrigin: http://a\rX-Evil: 1\r\n\r\n");
    refused(&server, origin, &[400]);
}

#[test]
fn head_and_preflight_run_no_action() {
    let server = Server::start();
    let mut ws = Ws::user(&server, "quiet", "u");
    wait_users(&server, "quiet", r#"["u"]"#);
    for method in ["HEAD", "OPTIONS"] {
        let headers = "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n\
            Access-Control-Request-Headers: X-One, x-two\r\n";
        let answer = ask(
            &server,
            method,
            "/push?app=quiet&user=u&msg=never",
            headers,
            "",
        );
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, ""),
            "{method}"
        );
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("http://a"),
            "{method}"
        );
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true"),
            "{method}"
        );
        if method == "OPTIONS" {
            assert_eq!(
                answer.header("access-control-allow-headers"),
                Some("X-One, x-two")
            );
            let methods = answer
                .header("access-control-allow-methods")
                .unwrap_or_default();
            assert!(methods.contains("POST"), "{methods}");
        }
    }
    assert_eq!(push(&server, "quiet", "u", "once"), 1);
    assert_eq!(ws.text(), "once");
}
