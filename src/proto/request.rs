//! A request's head: where it ends, what it says, what RFC 9110/9112 forbid. Never its body
//! ([`super::body`]), never what the path means ([`crate::call`]).

use std::mem::MaybeUninit;

use memchr::{memchr, memchr_iter};

use crate::limits::{HEADERS_MAX, REQUEST_LINE_BYTES_MAX};
use crate::proto::body::Framing;
use crate::proto::target::{self, TARGET_TOO_LONG};
use crate::proto::token;

pub use crate::proto::target::decode_path;

/// The peer's fault, as a status and a one-line text for the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// HTTP status, 4xx or 5xx.
    pub status: u16,
    /// What was wrong and what would be right; no line end.
    pub text: &'static str,
}

impl HttpError {
    pub(super) const fn bad(text: &'static str) -> Self {
        HttpError { status: 400, text }
    }
}

const BARE_LINE_END: HttpError =
    HttpError::bad("bare CR or LF in the request head: lines end in CRLF");
const EMPTY_LINES: HttpError = HttpError::bad("more than two empty lines before the request line");
const REQUEST_LINE: HttpError =
    HttpError::bad("malformed request line: expected METHOD /path HTTP/1.1");
const HEADER_NAME: HttpError = HttpError::bad("malformed header name: expected Name: value");
const HEADER_VALUE: HttpError = HttpError::bad("control character in a header value");
const HEAD_INCOMPLETE: HttpError =
    HttpError::bad("malformed request head: expected one empty line at its end");
const HEAD_TOO_LARGE: HttpError = HttpError {
    status: 431,
    text: "request head too large",
};
const TOO_MANY_HEADERS: HttpError = HttpError {
    status: 431,
    text: "too many header lines",
};
const VERSION: HttpError = HttpError::bad("malformed HTTP version: expected HTTP/1.1");
const VERSION_UNKNOWN: HttpError = HttpError {
    status: 505,
    text: "HTTP version not supported: expected HTTP/1.1 or HTTP/1.0",
};
const CONNECT: HttpError = HttpError {
    status: 405,
    text: "CONNECT is not served: this is no proxy",
};
const HOST_COUNT: HttpError = HttpError::bad("expected exactly one Host header");
const HOST_VALUE: HttpError = HttpError::bad("malformed Host header: expected host or host:port");
const LENGTH: HttpError = HttpError::bad("malformed Content-Length: expected one decimal number");
const LENGTH_AND_CODING: HttpError =
    HttpError::bad("Content-Length and Transfer-Encoding together");
const CODING: HttpError =
    HttpError::bad("malformed Transfer-Encoding: expected chunked, once, on HTTP/1.1");
const CODING_UNKNOWN: HttpError = HttpError {
    status: 501,
    text: "transfer coding not supported: expected chunked",
};
const EXPECTATION: HttpError = HttpError {
    status: 417,
    text: "expectation not supported: expected 100-continue",
};

/// Request methods that jdserver tells apart. They are case-sensitive (RFC 9110, 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'b> {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// Any other token (CONNECT is refused by [`parse`]).
    Other(&'b str),
}

impl<'b> Method<'b> {
    /// As it is sent.
    pub fn as_str(self) -> &'b str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other(name) => name,
        }
    }
}

/// Room for header slots; lives on the caller's stack and needs no initialisation:
/// `[const { MaybeUninit::uninit() }; HEADERS_MAX]`.
pub type HeaderSlots<'b> = [MaybeUninit<httparse::Header<'b>>; HEADERS_MAX];

/// A valid request head. Borrows from the bytes it was read from.
#[derive(Debug)]
pub struct Head<'h, 'b> {
    /// The method.
    pub method: Method<'b>,
    /// Path as sent, escapes not decoded, starting with `/`; `*` for `OPTIONS *`. For an
    /// absolute-form target its path (`/` when it has none).
    pub path: &'b str,
    /// Query without the `?`; empty when there is none.
    pub query: &'b str,
    /// Minor version: 0 or 1.
    pub minor: u8,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection may go on after the answer, as far as the request says.
    pub keep_alive: bool,
    /// `Expect: 100-continue` on 1.1, with a body to continue with.
    pub expect_continue: bool,
    /// GET 1.1 without a body, with `websocket` among the Upgrade and `upgrade` among the
    /// Connection tokens: bytes behind such a head are frames, so it cannot announce a body.
    pub upgrade: bool,
    headers: &'h [httparse::Header<'b>],
}

impl<'h, 'b> Head<'h, 'b> {
    /// First value of a header, by name in any case; blanks around it trimmed.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers(name).next()
    }

    /// All values of a header, in order; blanks around them trimmed.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// All headers in order, names in lower case; what is no UTF-8 becomes U+FFFD.
    pub fn all_headers(&self) -> Vec<(Box<str>, Box<str>)> {
        let headers = self.headers.iter().map(|header| {
            let name = header.name.to_ascii_lowercase();
            (name.into(), String::from_utf8_lossy(header.value).into())
        });
        headers.collect()
    }
}

/// How many bytes of empty lines stand before a request line (at most two CRLF).
/// `Err` when there are more, or a bare CR or LF. They count anew at each call: whoever takes
/// them off the buffer before the request line came must not ask again.
pub fn skip_empty_lines(buf: &[u8]) -> Result<usize, HttpError> {
    let mut at = 0;
    loop {
        match buf[at..] {
            [b'\r' | b'\n', ..] if at == 4 => return Err(EMPTY_LINES),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r'] => return Ok(at),
            [b'\r' | b'\n', ..] => return Err(BARE_LINE_END),
            _ => return Ok(at),
        }
    }
}

/// The index just behind the head's closing empty line, looking only at bytes from `scanned` on
/// (and the three before it); `buf` starts at the same byte in every call for one head, empty lines before
/// the request line included or not. `None`: not whole yet. `Err` 431 (or 414 while the request line
/// is not whole) once `buf` is longer than `head_bytes_max`, 414 also for a request line beyond
/// [`REQUEST_LINE_BYTES_MAX`], 400 for a bare LF or a first byte that begins no method.
pub fn find_end(
    buf: &[u8],
    scanned: usize,
    head_bytes_max: usize,
) -> Result<Option<usize>, HttpError> {
    let window = &buf[..buf.len().min(head_bytes_max)];
    let start = skip_empty_lines(window)?;
    let first = window.get(start).copied();
    if first.is_some_and(|byte| byte != b'\r' && !token::is_token_char(byte)) {
        return Err(REQUEST_LINE);
    }
    let line_max = start + REQUEST_LINE_BYTES_MAX;
    // Only the call in which the bound is passed looks back, so a dripped head stays linear.
    if scanned <= line_max
        && window.len() > line_max
        && memchr(b'\n', &window[start..line_max]).is_none()
    {
        return Err(TARGET_TOO_LONG);
    }
    let from = scanned.max(start).min(window.len());
    for line_feed in memchr_iter(b'\n', &window[from..]) {
        let end = from + line_feed + 1;
        let line = &window[start..end];
        if line.ends_with(b"\r\n\r\n") {
            return Ok(Some(end));
        }
        if !line.ends_with(b"\r\n") {
            return Err(BARE_LINE_END);
        }
    }
    if buf.len() <= head_bytes_max {
        return Ok(None);
    }
    let line_is_whole = memchr(b'\n', &window[start..]).is_some();
    Err(if line_is_whole {
        HEAD_TOO_LARGE
    } else {
        TARGET_TOO_LONG
    })
}

/// Parses one whole head (up to and with its empty line) and applies every rule of contract 7
/// that a head can break. Errors: 400, 405 (CONNECT), 414, 417, 431 (header count), 501, 505.
pub fn parse<'h, 'b>(
    head: &'b [u8],
    slots: &'h mut HeaderSlots<'b>,
) -> Result<Head<'h, 'b>, HttpError> {
    let head = &head[skip_empty_lines(head)?..];
    // httparse takes a bare LF for a line end.
    if has_bare_line_feed(head) {
        return Err(BARE_LINE_END);
    }
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, slots) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(HEAD_INCOMPLETE),
        Err(error) => return Err(syntax_error(error, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(HEAD_INCOMPLETE);
    };
    let headers: &'h [httparse::Header<'b>] = request.headers;

    let method = method_of(method)?;
    let (path, query) = target::split(target, method == Method::Options)?;
    let facts = Facts::collect(headers)?;
    if facts.hosts > 1 || (facts.hosts == 0 && minor == 1) {
        return Err(HOST_COUNT);
    }
    let framing = facts.framing(minor)?;
    if facts.expects_other && minor == 1 {
        return Err(EXPECTATION);
    }
    let has_body = !matches!(framing, Framing::None | Framing::Sized(0));
    Ok(Head {
        method,
        path,
        query,
        minor,
        framing,
        keep_alive: !facts.close && (minor == 1 || facts.keep_alive),
        expect_continue: facts.expects_continue && minor == 1 && has_body,
        upgrade: facts.websocket
            && facts.upgrade
            && method == Method::Get
            && minor == 1
            && !has_body,
        headers,
    })
}

/// Whether an LF stands behind anything but a CR; the first byte is known to be none.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.iter().skip(1));
    // Without an early exit the compiler makes vector instructions of it.
    pairs.fold(false, |bad, (&before, &byte)| {
        bad | ((byte == b'\n') & (before != b'\r'))
    })
}

fn method_of(method: &str) -> Result<Method<'_>, HttpError> {
    Ok(match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "CONNECT" => return Err(CONNECT),
        other => Method::Other(other),
    })
}

fn syntax_error(error: httparse::Error, head: &[u8]) -> HttpError {
    match error {
        httparse::Error::HeaderName => HEADER_NAME,
        httparse::Error::HeaderValue => HEADER_VALUE,
        httparse::Error::TooManyHeaders => TOO_MANY_HEADERS,
        httparse::Error::Version => version_error(head),
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => REQUEST_LINE,
    }
}

/// 505 for a version that is well formed but not ours (RFC 9112, 2.3), else 400.
fn version_error(head: &[u8]) -> HttpError {
    let line = &head[..memchr(b'\r', head).unwrap_or(head.len())];
    let mut parts = line.split(|&b| b == b' ');
    let version = parts.nth(2).filter(|_| parts.next().is_none());
    match version {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            VERSION_UNKNOWN
        }
        _ => VERSION,
    }
}

/// What the headers say that concerns the connection and the body, from one pass over them.
#[derive(Default)]
struct Facts {
    hosts: usize,
    content_length: Option<u64>,
    chunked: usize,
    other_coding: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    websocket: bool,
    expects_continue: bool,
    expects_other: bool,
}

impl Facts {
    fn collect(headers: &[httparse::Header<'_>]) -> Result<Facts, HttpError> {
        let mut facts = Facts::default();
        for header in headers {
            let (name, value) = (header.name, header.value);
            // The length tells most headers apart, so few names are compared at all.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => facts.add_host(value)?,
                6 if name.eq_ignore_ascii_case("expect") => facts.add_expectations(value),
                7 if name.eq_ignore_ascii_case("upgrade") => {
                    facts.websocket |=
                        token::list(value).any(|e| e.eq_ignore_ascii_case(b"websocket"));
                }
                10 if name.eq_ignore_ascii_case("connection") => facts.add_connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => facts.add_length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => facts.add_codings(value)?,
                _ => {}
            }
        }
        Ok(facts)
    }

    fn add_host(&mut self, value: &[u8]) -> Result<(), HttpError> {
        self.hosts += 1;
        if value.is_empty() || target::is_authority(value) {
            Ok(())
        } else {
            Err(HOST_VALUE)
        }
    }

    fn add_expectations(&mut self, value: &[u8]) {
        for element in token::list(value).filter(|e| !e.is_empty()) {
            if element.eq_ignore_ascii_case(b"100-continue") {
                self.expects_continue = true;
            } else {
                self.expects_other = true;
            }
        }
    }

    fn add_connection(&mut self, value: &[u8]) {
        for element in token::list(value) {
            match element.len() {
                5 => self.close |= element.eq_ignore_ascii_case(b"close"),
                7 => self.upgrade |= element.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= element.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if value.is_empty() {
            return Err(LENGTH);
        }
        let mut length = 0u64;
        for &byte in value {
            if !byte.is_ascii_digit() {
                return Err(LENGTH);
            }
            length = length
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(byte - b'0')))
                .ok_or(LENGTH)?;
        }
        match self.content_length.replace(length) {
            Some(before) if before != length => Err(LENGTH),
            _ => Ok(()),
        }
    }

    fn add_codings(&mut self, value: &[u8]) -> Result<(), HttpError> {
        for element in token::list(value) {
            let name = element
                .split(|&b| b == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii_end();
            if !name.eq_ignore_ascii_case(b"chunked") {
                if !token::is_token(name) {
                    return Err(CODING);
                }
                self.other_coding = true;
            } else if name.len() == element.len() {
                self.chunked += 1;
            } else {
                // chunked has no parameters (RFC 9112, 7.1).
                return Err(CODING);
            }
        }
        Ok(())
    }

    /// Message body length (RFC 9112, 6.3), refusing whatever two readers could read differently.
    fn framing(&self, minor: u8) -> Result<Framing, HttpError> {
        if self.chunked == 0 && !self.other_coding {
            return Ok(self.content_length.map_or(Framing::None, Framing::Sized));
        }
        if self.content_length.is_some() {
            return Err(LENGTH_AND_CODING);
        }
        if minor == 0 || self.chunked > 1 {
            return Err(CODING);
        }
        if self.other_coding {
            Err(CODING_UNKNOWN)
        } else {
            Ok(Framing::Chunked)
        }
    }
}

#[cfg(test)]
mod tests;
