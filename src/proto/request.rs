//! A request's head: where it ends, what it says, what RFC 9110/9112 forbid. Never its body
//! ([`super::body`]), never what the path means ([`crate::call`]).

use std::borrow::Cow;
use std::mem::MaybeUninit;

use crate::limits::HEADERS_MAX;
use crate::proto::body::Framing;

/// The peer's fault, as a status and a one-line text for the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// HTTP status, 4xx or 5xx.
    pub status: u16,
    /// What was wrong and what would be right; no line end.
    pub text: &'static str,
}

/// Request methods that jdserver tells apart.
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

/// Room for header slots; lives on the caller's stack and needs no initialisation.
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
    /// `Expect: 100-continue` on 1.1.
    pub expect_continue: bool,
    /// GET 1.1 with `websocket` among the Upgrade and `upgrade` among the Connection tokens.
    pub upgrade: bool,
    headers: &'h [httparse::Header<'b>],
}

impl<'h, 'b> Head<'h, 'b> {
    /// First value of a header, by name in any case.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        let _ = name;
        todo!()
    }

    /// All values of a header, in order.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        let _ = (name, self.headers);
        std::iter::empty()
    }
}

/// How many bytes of empty lines stand before a request line (at most two CRLF).
/// `Err` when there are more, or a bare CR or LF.
pub fn skip_empty_lines(buf: &[u8]) -> Result<usize, HttpError> {
    let _ = buf;
    todo!()
}

/// The index just behind the head's closing empty line, looking only at bytes from `scanned` on
/// (and the three before it). `None`: not whole yet. `Err` 431 (or 414 while the request line
/// is not whole) once `buf` is longer than `head_bytes_max`.
pub fn find_end(buf: &[u8], scanned: usize, head_bytes_max: usize) -> Result<Option<usize>, HttpError> {
    let _ = (buf, scanned, head_bytes_max);
    todo!()
}

/// Parses one whole head (up to and with its empty line) and applies every rule of contract 7.
pub fn parse<'h, 'b>(head: &'b [u8], slots: &'h mut HeaderSlots<'b>) -> Result<Head<'h, 'b>, HttpError> {
    let _ = (head, slots);
    todo!()
}

/// Decodes percent escapes once (a broken escape stays as it is, invalid UTF-8 becomes U+FFFD, a NUL is 400), then resolves `.` and
/// `..`; 400 when that leaves the root. The result starts with `/`.
pub fn decode_path(raw: &str) -> Result<Cow<'_, str>, HttpError> {
    let _ = raw;
    todo!()
}
