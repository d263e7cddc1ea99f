//! Writes response heads. Never decides a status.

use crate::ids::Now;

/// The `Date` header's value, formatted once per second.
#[derive(Debug, Default)]
pub struct DateCache {
    _todo: (),
}

impl DateCache {
    /// The present as IMF-fixdate (RFC 9110, 5.6.7).
    pub fn text(&mut self, now: Now) -> &str {
        let _ = now;
        todo!()
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
    /// Status code.
    pub status: u16,
    /// `Content-Type`; empty for none.
    pub content_type: &'a str,
    /// Whether `Cache-Control: no-cache` is sent.
    pub no_cache: bool,
    /// Further headers. A value that holds CR, LF or NUL is left out whole.
    pub headers: &'a [(&'a str, &'a str)],
    /// The `Connection` header.
    pub persistence: Persistence,
}

/// Appends head and body to `out`. `Content-Length` is the body's, also for HEAD
/// (`head_only`), whose body is left out; 1xx, 204 and 304 carry neither.
pub fn write(out: &mut Vec<u8>, date: &str, response: &Response<'_>, body: &[u8], head_only: bool) {
    let _ = (out, date, response, body, head_only);
    todo!()
}

/// The standard reason phrase, `Unknown` for others.
pub fn reason(status: u16) -> &'static str {
    let _ = status;
    todo!()
}
