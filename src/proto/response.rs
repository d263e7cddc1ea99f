//! Writes response heads. Never decides a status.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use memchr::memchr3;

use crate::ids::Now;
use crate::proto::token;

/// The interim answer to `Expect: 100-continue` (RFC 9110, 15.2.1); it needs no `Date`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// 9999-12-31T23:59:59Z: the last second that four digits of a year can tell.
const UNIX_SECOND_MAX: u64 = 253_402_300_799;

/// Room for a head without extra headers, so that it is written without growing.
const HEAD_BYTES_TYPICAL: usize = 256;

/// The `Date` header's value, formatted once per second.
#[derive(Debug, Default)]
pub struct DateCache {
    /// Unix second that `text` tells; meaningless while that is empty.
    second: u64,
    text: String,
}

impl DateCache {
    /// The present as IMF-fixdate (RFC 9110, 5.6.7).
    pub fn text(&mut self, now: Now) -> &str {
        let second = (now.unix_ms / 1_000).min(UNIX_SECOND_MAX);
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{date}");
        }
        &self.text
    }
}

/// What the `Connection` header of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1 and open: no header.
    Implied,
    /// HTTP/1.0 that asked to be kept open: `Connection: keep-alive`.
    KeepAlive,
    /// `Connection: close`.
    Close,
}

/// Everything of an answer but its body.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Status code, 100 to 999.
    pub status: u16,
    /// `Content-Type`; empty for none.
    pub content_type: &'a str,
    /// Whether `Cache-Control: no-cache` is sent.
    pub no_cache: bool,
    /// Further headers, none of those that the other fields or [`write()`] bring. One whose value holds CR, LF
    /// or NUL, or whose name is no token, is left out whole.
    pub headers: &'a [(&'a str, &'a str)],
    /// The `Connection` header.
    pub persistence: Persistence,
    /// Bytes of the body that follow in chunks of their own, behind what [`write()`] is given.
    pub further_bytes: usize,
}

/// Appends head and body to `out`. `Content-Length` is the body's, also for HEAD
/// (`head_only`), whose body is left out, unless that is empty: a length that nobody knows is not
/// told. 1xx, 204 and 304 carry neither (RFC 9110, 8.6).
pub fn write(out: &mut Vec<u8>, date: &str, response: &Response<'_>, body: &[u8], head_only: bool) {
    let sent = if head_only || is_bodiless(response.status) {
        &[][..]
    } else {
        body
    };
    out.reserve(HEAD_BYTES_TYPICAL + sent.len());
    write_status_line(out, response.status);
    if !response.content_type.is_empty() {
        write_header(out, "Content-Type", response.content_type);
    }
    if response.no_cache {
        out.extend_from_slice(b"Cache-Control: no-cache\r\n");
    }
    for (name, value) in response.headers {
        if token::is_token(name.as_bytes()) {
            write_header(out, name, value);
        }
    }
    write_header(out, "Date", date);
    let has_length = !(is_bodiless(response.status) || head_only && body.is_empty());
    if has_length {
        out.extend_from_slice(b"Content-Length: ");
        write_decimal(out, (body.len() + response.further_bytes) as u64);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(match response.persistence {
        Persistence::Implied => b"\r\n",
        Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => b"Connection: close\r\n\r\n",
    });
    out.extend_from_slice(sent);
}

/// The standard reason phrase, `Unknown` for others.
pub fn reason(status: u16) -> &'static str {
    // The phrase stands between "HTTP/1.1 nnn " and CRLF.
    status_line(status)
        .and_then(|line| line.get(13..line.len() - 2))
        .unwrap_or("Unknown")
}

/// Statuses whose answer has no body (RFC 9112, 6.3).
fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    if let Some(line) = status_line(status) {
        out.extend_from_slice(line.as_bytes());
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status));
    out.extend_from_slice(b" Unknown\r\n");
}

/// A value with a line end in it would begin a header, or an answer, of its sender's choice.
fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    if memchr3(b'\r', b'\n', 0, value.as_bytes()).is_some() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    while number >= 10 {
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
    }
    digits[first] = b'0' + number as u8;
    out.extend_from_slice(&digits[first..]);
}

/// The status line of a registered status, ready to be copied.
fn status_line(status: u16) -> Option<&'static str> {
    Some(match status {
        100 => "HTTP/1.1 100 Continue\r\n",
        101 => "HTTP/1.1 101 Switching Protocols\r\n",
        102 => "HTTP/1.1 102 Processing\r\n",
        103 => "HTTP/1.1 103 Early Hints\r\n",
        200 => "HTTP/1.1 200 OK\r\n",
        201 => "HTTP/1.1 201 Created\r\n",
        202 => "HTTP/1.1 202 Accepted\r\n",
        203 => "HTTP/1.1 203 Non-Authoritative Information\r\n",
        204 => "HTTP/1.1 204 No Content\r\n",
        205 => "HTTP/1.1 205 Reset Content\r\n",
        206 => "HTTP/1.1 206 Partial Content\r\n",
        207 => "HTTP/1.1 207 Multi-Status\r\n",
        208 => "HTTP/1.1 208 Already Reported\r\n",
        226 => "HTTP/1.1 226 IM Used\r\n",
        300 => "HTTP/1.1 300 Multiple Choices\r\n",
        301 => "HTTP/1.1 301 Moved Permanently\r\n",
        302 => "HTTP/1.1 302 Found\r\n",
        303 => "HTTP/1.1 303 See Other\r\n",
        304 => "HTTP/1.1 304 Not Modified\r\n",
        305 => "HTTP/1.1 305 Use Proxy\r\n",
        307 => "HTTP/1.1 307 Temporary Redirect\r\n",
        308 => "HTTP/1.1 308 Permanent Redirect\r\n",
        400 => "HTTP/1.1 400 Bad Request\r\n",
        401 => "HTTP/1.1 401 Unauthorized\r\n",
        402 => "HTTP/1.1 402 Payment Required\r\n",
        403 => "HTTP/1.1 403 Forbidden\r\n",
        404 => "HTTP/1.1 404 Not Found\r\n",
        405 => "HTTP/1.1 405 Method Not Allowed\r\n",
        406 => "HTTP/1.1 406 Not Acceptable\r\n",
        407 => "HTTP/1.1 407 Proxy Authentication Required\r\n",
        408 => "HTTP/1.1 408 Request Timeout\r\n",
        409 => "HTTP/1.1 409 Conflict\r\n",
        410 => "HTTP/1.1 410 Gone\r\n",
        411 => "HTTP/1.1 411 Length Required\r\n",
        412 => "HTTP/1.1 412 Precondition Failed\r\n",
        413 => "HTTP/1.1 413 Content Too Large\r\n",
        414 => "HTTP/1.1 414 URI Too Long\r\n",
        415 => "HTTP/1.1 415 Unsupported Media Type\r\n",
        416 => "HTTP/1.1 416 Range Not Satisfiable\r\n",
        417 => "HTTP/1.1 417 Expectation Failed\r\n",
        421 => "HTTP/1.1 421 Misdirected Request\r\n",
        422 => "HTTP/1.1 422 Unprocessable Content\r\n",
        423 => "HTTP/1.1 423 Locked\r\n",
        424 => "HTTP/1.1 424 Failed Dependency\r\n",
        425 => "HTTP/1.1 425 Too Early\r\n",
        426 => "HTTP/1.1 426 Upgrade Required\r\n",
        428 => "HTTP/1.1 428 Precondition Required\r\n",
        429 => "HTTP/1.1 429 Too Many Requests\r\n",
        431 => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
        451 => "HTTP/1.1 451 Unavailable For Legal Reasons\r\n",
        500 => "HTTP/1.1 500 Internal Server Error\r\n",
        501 => "HTTP/1.1 501 Not Implemented\r\n",
        502 => "HTTP/1.1 502 Bad Gateway\r\n",
        503 => "HTTP/1.1 503 Service Unavailable\r\n",
        504 => "HTTP/1.1 504 Gateway Timeout\r\n",
        505 => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
        506 => "HTTP/1.1 506 Variant Also Negotiates\r\n",
        507 => "HTTP/1.1 507 Insufficient Storage\r\n",
        508 => "HTTP/1.1 508 Loop Detected\r\n",
        511 => "HTTP/1.1 511 Network Authentication Required\r\n",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const PLAIN: Response<'static> = Response {
        status: 200,
        content_type: "text/plain; charset=UTF-8",
        no_cache: true,
        headers: &[],
        persistence: Persistence::Implied,
        further_bytes: 0,
    };

    #[track_caller]
    fn check(response: Response<'_>, body: &str, head_only: bool, expected: &str) {
        let mut out = b"before".to_vec();
        write(&mut out, DATE, &response, body.as_bytes(), head_only);
        assert_eq!(String::from_utf8_lossy(&out), format!("before{expected}"));
    }

    #[test]
    fn a_call_is_answered() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nCache-Control: no-cache\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 6\r\n\r\n";
        check(PLAIN, "[0,1]\n", false, &format!("{head}[0,1]\n"));
        check(PLAIN, "[0,1]\n", true, head);
    }

    #[test]
    fn the_length_counts_what_follows() {
        let response = Response {
            further_bytes: 7,
            ..PLAIN
        };
        let mut out = Vec::new();
        write(&mut out, DATE, &response, b"[0,", false);
        let text = String::from_utf8_lossy(&out);
        assert!(
            text.contains("Content-Length: 10\r\n") && text.ends_with("\r\n\r\n[0,"),
            "{text}"
        );
    }

    #[test]
    fn headers_come_in_one_order() {
        let response = Response {
            status: 404,
            content_type: "",
            no_cache: false,
            headers: &[("X-A", "1"), ("X-B", "")],
            persistence: Persistence::Close,
            further_bytes: 0,
        };
        let head = "HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-B: \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
            Content-Length: 0\r\nConnection: close\r\n\r\n";
        check(response, "", false, head);
    }

    #[test]
    fn some_statuses_have_no_body() {
        for status in [101, 204, 304] {
            let response = Response {
                status,
                content_type: "",
                no_cache: false,
                headers: &[],
                persistence: Persistence::KeepAlive,
                further_bytes: 0,
            };
            let phrase = reason(status);
            let head = format!(
                "HTTP/1.1 {status} {phrase}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n\r\n"
            );
            check(response, "lost", false, &head);
        }
    }

    #[test]
    fn broken_headers_are_left_out_whole() {
        let headers = [
            ("A", "x\r\nSet-Cookie: y"),
            ("B", "x\ny"),
            ("C", "x\ry"),
            ("D", "x\0"),
            ("E\r\n", "x"),
            ("", "x"),
            ("F", "ok é"),
        ];
        let response = Response {
            content_type: "a\r\nb",
            no_cache: false,
            headers: &headers,
            ..PLAIN
        };
        let head = "HTTP/1.1 200 OK\r\nF: ok é\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
        check(response, "", false, head);
    }

    #[test]
    fn every_status_line_agrees_with_its_number() {
        for status in 100..1000 {
            let mut line = Vec::new();
            write_status_line(&mut line, status);
            let expected = format!("HTTP/1.1 {status} {}\r\n", reason(status));
            assert_eq!(String::from_utf8_lossy(&line), expected);
        }
        assert_eq!(reason(200), "OK");
        assert_eq!(reason(431), "Request Header Fields Too Large");
        assert_eq!(reason(299), "Unknown");
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 4_194_304, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
    }

    #[test]
    fn dates_are_kept_for_their_second() {
        let mut cache = DateCache::default();
        let at = |unix_ms| Now {
            mono_ms: 0,
            unix_ms,
        };
        assert_eq!(cache.text(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.text(at(784_111_777_000)), DATE);
        assert_eq!(cache.text(at(784_111_777_999)), DATE);
        assert_eq!(
            cache.text(at(784_111_778_000)),
            "Sun, 06 Nov 1994 08:49:38 GMT"
        );
        assert_eq!(cache.text(at(784_111_777_000)), DATE);
        assert_eq!(cache.text(at(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
