//! A request target's forms (RFC 9112, 3.2), the authority in it or in Host, and the path with
//! its escapes decoded. Never what the path means ([`crate::call`]).

use std::borrow::Cow;

use memchr::{memchr, memchr3_iter};

use crate::limits::TARGET_BYTES_MAX;
use crate::proto::request::HttpError;

/// 414, for a target that is too long or a request line that does not end.
pub(super) const TARGET_TOO_LONG: HttpError = HttpError {
    status: 414,
    text: "request target too long",
};
const FORM: HttpError = HttpError::bad(
    "malformed request target: expected a path that starts with / or an http:// URL",
);
const CHARACTER: HttpError = HttpError::bad(
    "request target holds a fragment, blank, control or non-ASCII character: percent-encode it",
);
const ASTERISK: HttpError = HttpError::bad("request target * goes with OPTIONS only");
const AUTHORITY: HttpError =
    HttpError::bad("malformed authority in the request target: expected host or host:port");
const PATH_NUL: HttpError = HttpError::bad("the path holds a NUL character");
const PATH_OUTSIDE: HttpError = HttpError::bad("the path leads out of the root");

/// Splits a target into path and query. `*` is taken with `OPTIONS` only; an absolute URL gives
/// its path (`/` when it has none). Errors: 414 when too long, else 400.
pub(super) fn split(target: &str, options: bool) -> Result<(&str, &str), HttpError> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(TARGET_TOO_LONG);
    }
    // Without an early exit the compiler makes vector instructions of it.
    if target.bytes().fold(false, |bad, b| {
        bad | (b <= b' ') | (b >= 0x7f) | (b == b'#')
    }) {
        return Err(CHARACTER);
    }
    if target.starts_with('/') {
        return Ok(split_query(target));
    }
    if target == "*" {
        return if options {
            Ok(("*", ""))
        } else {
            Err(ASTERISK)
        };
    }
    let rest = strip_scheme(target).ok_or(FORM)?;
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    if !is_authority(authority.as_bytes()) {
        return Err(AUTHORITY);
    }
    let (path, query) = split_query(rest);
    Ok((if path.is_empty() { "/" } else { path }, query))
}

/// Whether `text` is a host with an optional port, as in Host and in an http URL: not empty, no
/// user information (RFC 9110, 4.2.1 and 4.2.4; RFC 3986, 3.2.2).
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host_is_valid, rest) = if let Some(literal) = text.strip_prefix(b"[") {
        let Some(close) = memchr(b']', literal) else {
            return false;
        };
        (is_ipv6(&literal[..close]), &literal[close + 1..])
    } else {
        let (host, rest) = text.split_at(memchr(b':', text).unwrap_or(text.len()));
        (is_reg_name(host), rest)
    };
    host_is_valid
        && match rest.split_first() {
            None => true,
            Some((b':', port)) => is_port(port),
            Some(_) => false,
        }
}

/// Decodes percent escapes once (a broken escape stays as it is, invalid UTF-8 becomes U+FFFD),
/// then resolves `.` and `..`. The result starts with `/`.
/// Errors: 400 for a NUL and for a path that leaves the root (contract 7.7).
pub fn decode_path(raw: &str) -> Result<Cow<'_, str>, HttpError> {
    let bytes = raw.as_bytes();
    let is_plain = bytes.first() == Some(&b'/')
        && memchr3_iter(b'%', b'.', 0, bytes).all(|at| bytes[at] == b'.' && bytes[at - 1] != b'/');
    if is_plain {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = decode_escapes(bytes);
    if memchr(0, &decoded).is_some() {
        return Err(PATH_NUL);
    }
    resolve_dots(&String::from_utf8_lossy(&decoded))
        .map(Cow::Owned)
        .ok_or(PATH_OUTSIDE)
}

fn split_query(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

fn is_reg_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => tail,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => tail,
            b'%' if escaped(rest).is_some() => &rest[3..],
            _ => return false,
        };
    }
    !host.is_empty()
}

// A shape check is enough: the text is never connected to.
fn is_ipv6(literal: &[u8]) -> bool {
    literal
        .iter()
        .all(|&b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
        && literal.iter().filter(|&&b| b == b':').count() >= 2
}

fn is_port(port: &[u8]) -> bool {
    port.iter().all(u8::is_ascii_digit)
        && port
            .iter()
            .fold(0u32, |n, &b| (n * 10 + u32::from(b - b'0')).min(1 << 16))
            < 1 << 16
}

/// The byte that a percent escape at the front of `bytes` stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |b: &u8| char::from(*b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Decodes percent escapes once; a broken one stays as it is.
pub(super) fn decode_escapes(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (byte, width) = escaped(rest).map_or((b'%', 1), |byte| (byte, 3));
        out.push(byte);
        rest = &rest[width..];
    }
    out.extend_from_slice(rest);
    out
}

/// Removes dot segments (RFC 3986, 5.2.4); `None` where that RFC would silently stay at the root.
fn resolve_dots(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len() + 1);
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => out.truncate(out.rfind('/')?),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            out.push('/');
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_split(target: &str, path: &str, query: &str) {
        assert_eq!(split(target, false), Ok((path, query)), "{target:?}");
    }

    #[track_caller]
    fn check_refused(target: &str, status: u16) {
        let error = split(target, false).expect_err(target);
        assert_eq!(error.status, status, "{target:?}");
    }

    #[track_caller]
    fn check_path(raw: &str, decoded: &str) {
        assert_eq!(decode_path(raw).as_deref(), Ok(decoded), "{raw:?}");
    }

    #[track_caller]
    fn check_bad_path(raw: &str) {
        assert_eq!(decode_path(raw).map_err(|e| e.status), Err(400), "{raw:?}");
    }

    #[test]
    fn forms_of_a_target() {
        check_split("/", "/", "");
        check_split("/push?app=a&user=*", "/push", "app=a&user=*");
        check_split("/a?b?c", "/a", "b?c");
        check_split("/?", "/", "");
        check_split("//a//b", "//a//b", "");
        check_split("/a[1]{}|\"<>\\^`", "/a[1]{}|\"<>\\^`", "");
        check_split("http://h", "/", "");
        check_split("HTTP://h:80/a?b", "/a", "b");
        check_split("hTTpS://[::1]:8081?x=1", "/", "x=1");
        check_split("http://h:/a", "/a", "");
        check_split("http://h/http://x@y", "/http://x@y", "");
        assert_eq!(split("*", true), Ok(("*", "")));
    }

    #[test]
    fn targets_that_are_refused() {
        for target in [
            "*", "*?a", "**", "", "a", "h:80", "ftp://h/", "http:/h", "http:h", "://h/", "?a=1",
            "\\",
        ] {
            check_refused(target, 400);
        }
        for target in [
            "http://",
            "http:///a",
            "http://?a",
            "http://u@h/",
            "http://u:p@h/",
            "http://h:x/",
            "http://:80/",
        ] {
            check_refused(target, 400);
        }
        for target in [
            "/a#b",
            "/#",
            "/a b",
            "/\u{0}",
            "/\u{1f}",
            "/\u{7f}",
            "/é",
            "/a?é",
            "http://é/",
        ] {
            check_refused(target, 400);
        }
        let longest = format!("/{}", "a".repeat(TARGET_BYTES_MAX - 1));
        check_split(&longest, &longest, "");
        check_refused(&format!("{longest}a"), 414);
    }

    #[test]
    fn authorities() {
        for text in [
            "h",
            "a.b-c_d",
            "127.0.0.1:8081",
            "h:",
            "h:0",
            "h:65535",
            "h:000080",
            "[::1]",
            "[fe80::1.2.3.4]:1",
            "a%20b",
            "a,b",
        ] {
            assert!(is_authority(text.as_bytes()), "{text:?}");
        }
        for text in [
            "",
            ":",
            ":80",
            "h:65536",
            "h:99999999999999999999",
            "h:8a",
            "h:-1",
            "h:80:80",
            "u@h",
            "a b",
            "a/b",
            "a?b",
            "a%2",
            "a%zz",
            "[::1",
            "[::1]80",
            "[]",
            "[g::]",
            "[1]",
            "::1",
            "a\"b",
            "a\\b",
            "é",
            "a\0",
        ] {
            assert!(!is_authority(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn paths_are_decoded_once() {
        check_path("/", "/");
        check_path("/Timer.set", "/Timer.set");
        check_path("/a%20b", "/a b");
        check_path("/%2541", "/%41");
        check_path("/%", "/%");
        check_path("/%4", "/%4");
        check_path("/%zz%41", "/%zzA");
        check_path("/%%41", "/%A");
        check_path("/%e6%8e%a8", "/推");
        check_path("/%ff", "/\u{fffd}");
        check_path("/%c0%af", "/\u{fffd}\u{fffd}");
        check_path("*", "/*");
        check_path("", "/");
        assert!(matches!(decode_path("/Timer.set"), Ok(Cow::Borrowed(_))));
        check_bad_path("/%00");
        check_bad_path("/a\0");
    }

    #[test]
    fn dots_stay_inside_the_root() {
        check_path("/.", "/");
        check_path("/./", "/");
        check_path("/a/.", "/a/");
        check_path("/a/./b", "/a/b");
        check_path("/a/..", "/");
        check_path("/a/../b", "/b");
        check_path("/a/b/../../c", "/c");
        check_path("/a//../b", "/a/b");
        check_path("/..a", "/..a");
        check_path("/.git", "/.git");
        check_path("/a..", "/a..");
        check_path("/...", "/...");
        check_path("/%2e/a", "/a");
        check_path("//a/..", "//");
        for raw in [
            "/..",
            "/../",
            "/../a",
            "/a/../..",
            "/a/../../b",
            "/%2e%2e",
            "/.%2E/a",
            "/%2e%2e%2fetc",
            "/a%2f..%2f..%2fb",
            "..",
        ] {
            check_bad_path(raw);
        }
    }
}
