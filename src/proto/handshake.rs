//! The WebSocket opening handshake (RFC 6455, 4; RFC 7692, 7). Never a frame.

use memchr::memchr2;
use tungstenite::handshake::derive_accept_key;

use crate::proto::request::{Head, HttpError};

/// Goes with the 426 of [`accept`]: which version and protocol are served (RFC 6455, 4.4; RFC 9110, 15.5.22).
pub const VERSION_HEADERS: [(&str, &str); 3] = [
    ("Sec-WebSocket-Version", "13"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
];

const VERSION: HttpError = HttpError {
    status: 426,
    text: "expected Sec-WebSocket-Version: 13",
};
const KEY: HttpError = HttpError::bad("expected one Sec-WebSocket-Key: 16 bytes in base64");

/// A handshake that may be answered with 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// Whether permessage-deflate was agreed (always without context takeover, both ways).
    pub deflate: bool,
    /// Whether the agreed offer named our window, which the answer then confirms (RFC 7692, 7.1.2.1).
    pub names_window: bool,
}

/// Checks an upgrade request (`head.upgrade` is true): version 13 (else 426), exactly one key of
/// 24 base64 characters that is 16 bytes (else 400). Deflate is agreed when it is allowed here and one of the
/// client's offers can be met; a malformed or impossible offer is declined, not an error.
pub fn accept(head: &Head<'_, '_>, deflate_allowed: bool) -> Result<Upgrade, HttpError> {
    if only(head, "sec-websocket-version") != Some(b"13") {
        return Err(VERSION);
    }
    let key = only(head, "sec-websocket-key")
        .filter(|key| is_key(key))
        .ok_or(KEY)?;
    let offer = if deflate_allowed {
        first_possible_offer(head)
    } else {
        None
    };
    Ok(Upgrade {
        accept: derive_accept_key(key),
        deflate: offer.is_some(),
        names_window: offer.is_some_and(|offer| offer.server_window),
    })
}

/// Appends the 101 answer to `out`, `Date` included.
pub fn write_answer(out: &mut Vec<u8>, date: &str, upgrade: &Upgrade) {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    let extension = match (upgrade.deflate, upgrade.names_window) {
        (false, _) => "",
        (true, false) => {
            "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        }
        (true, true) => {
            "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
        }
    };
    for part in [
        head,
        &upgrade.accept,
        extension,
        "\r\nDate: ",
        date,
        "\r\n\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A header's value when it came exactly once.
fn only<'b>(head: &Head<'_, 'b>, name: &str) -> Option<&'b [u8]> {
    let mut values = head.headers(name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// 22 base64 characters and `==`: 16 bytes. Bits beyond them are not looked at (RFC 4648, 3.5).
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22]
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// The parameters of a permessage-deflate offer that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window: bool,
    client_window: bool,
}

/// The first offer, over all headers, that can be met: the client lists them by preference.
fn first_possible_offer(head: &Head<'_, '_>) -> Option<Offer> {
    head.headers("sec-websocket-extensions")
        .flat_map(|value| split_unquoted(value, b','))
        .find_map(parse_offer)
}

/// One element of Sec-WebSocket-Extensions; `None` when it is another extension, has an unknown,
/// repeated or invalid parameter, or wants a window smaller than our compressor's.
fn parse_offer(element: &[u8]) -> Option<Offer> {
    let mut parts = split_unquoted(element, b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(b"permessage-deflate") {
        return None;
    }
    let mut offer = Offer::default();
    for part in parts {
        let (name, value) = match part.iter().position(|&b| b == b'=') {
            Some(at) => (
                part[..at].trim_ascii_end(),
                Some(unquote(part[at + 1..].trim_ascii_start())),
            ),
            None => (part, None),
        };
        let (seen, is_valid) = match &name.to_ascii_lowercase()[..] {
            b"server_no_context_takeover" => (&mut offer.server_no_takeover, value.is_none()),
            b"client_no_context_takeover" => (&mut offer.client_no_takeover, value.is_none()),
            b"server_max_window_bits" => (&mut offer.server_window, value == Some(b"15")),
            b"client_max_window_bits" => {
                (&mut offer.client_window, value.is_none_or(is_window_bits))
            }
            _ => return None,
        };
        if *seen || !is_valid {
            return None;
        }
        *seen = true;
    }
    Some(offer)
}

/// 8 to 15 without leading zeros (RFC 7692, 7.1.2).
fn is_window_bits(value: &[u8]) -> bool {
    matches!(value, [b'8' | b'9'] | [b'1', b'0'..=b'5'])
}

/// The text of a quoted string that needs no unescaping, as none of our values does.
fn unquote(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// Splits at `separator` outside of quoted strings (RFC 9110, 5.6.4).
fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = unquoted_position(text, separator);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

fn unquoted_position(text: &[u8], separator: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(separator, b'"', text.get(at..)?)?;
        if text[at] == separator {
            return Some(at);
        }
        at += 1 + quoted_len(&text[at + 1..])?;
    }
}

/// The length of a quoted string behind its opening quote, its closing one included.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;
    use crate::proto::request;

    const KEY_LINE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION_LINE: &str = "Sec-WebSocket-Version: 13\r\n";

    #[track_caller]
    fn accept_lines(lines: &str, deflate_allowed: bool) -> Result<Upgrade, u16> {
        let text = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{lines}\r\n"
        );
        let mut slots = [const { MaybeUninit::uninit() }; crate::limits::HEADERS_MAX];
        let head = request::parse(text.as_bytes(), &mut slots).expect("a valid head");
        assert!(head.upgrade);
        accept(&head, deflate_allowed).map_err(|e| e.status)
    }

    #[track_caller]
    fn check_offer(extensions: &str, deflate: bool) {
        let lines = format!("{VERSION_LINE}{KEY_LINE}{extensions}\r\n");
        assert_eq!(
            accept_lines(&lines, true).map(|u| u.deflate),
            Ok(deflate),
            "{extensions:?}"
        );
        assert_eq!(
            accept_lines(&lines, false).map(|u| u.deflate),
            Ok(false),
            "{extensions:?}"
        );
    }

    #[track_caller]
    fn check_parameters(parameters: &str, deflate: bool) {
        check_offer(
            &format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}"),
            deflate,
        );
    }

    #[test]
    fn the_key_of_the_rfc() {
        let upgrade = accept_lines(&format!("{VERSION_LINE}{KEY_LINE}"), true).expect("valid");
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!upgrade.deflate);
    }

    #[test]
    fn version_13_once() {
        for lines in [
            "",
            "Sec-WebSocket-Version: 8\r\n",
            "Sec-WebSocket-Version: 013\r\n",
            "Sec-WebSocket-Version: 13, 8\r\n",
            "Sec-WebSocket-Version:\r\n",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n",
        ] {
            assert_eq!(
                accept_lines(&format!("{lines}{KEY_LINE}"), true),
                Err(426),
                "{lines:?}"
            );
        }
        assert_eq!(
            accept_lines("", true),
            Err(426),
            "the version is judged before the key"
        );
    }

    #[test]
    fn one_key_of_16_bytes() {
        assert_eq!(accept_lines(VERSION_LINE, true), Err(400));
        assert_eq!(
            accept_lines(&format!("{VERSION_LINE}{KEY_LINE}{KEY_LINE}"), true),
            Err(400)
        );
        for key in [
            "",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZQAA",
            "dGhlIHNhbXBsZSBub25jZQA=",
            "dGhlIHNhbXBsZSBub25j*Q==",
            "dGhlIHNhbXBsZSBub25 ZQ==",
            "dGhlIHNhbXBsZSBub2=jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==, a",
        ] {
            let lines = format!("{VERSION_LINE}Sec-WebSocket-Key: {key}\r\n");
            assert_eq!(accept_lines(&lines, true), Err(400), "{key:?}");
        }
        let lines = format!("{VERSION_LINE}Sec-WebSocket-Key: +/AAabcdefghijklmnopqv==\r\n");
        assert!(accept_lines(&lines, true).is_ok());
    }

    #[test]
    fn offers_that_can_be_met() {
        for parameters in [
            "",
            ";",
            "; client_max_window_bits",
            ";client_max_window_bits=15",
            "; client_max_window_bits=8",
            "; client_max_window_bits=\"10\"",
            "; server_no_context_takeover",
            "; client_no_context_takeover",
            "; server_max_window_bits=15",
            "; SERVER_MAX_WINDOW_BITS = \"15\"",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15; client_max_window_bits=9",
        ] {
            check_parameters(parameters, parameters != ";");
        }
        check_offer("sec-websocket-extensions: PerMessage-Deflate", true);
    }

    #[test]
    fn offers_that_are_declined() {
        for parameters in [
            "; server_max_window_bits",
            "; server_max_window_bits=14",
            "; server_max_window_bits=8",
            "; server_max_window_bits=16",
            "; server_max_window_bits=015",
            "; server_max_window_bits=",
            "; client_max_window_bits=7",
            "; client_max_window_bits=16",
            "; client_max_window_bits=08",
            "; client_max_window_bits=1a",
            "; client_max_window_bits=",
            "; client_max_window_bits=\"\"",
            "; client_max_window_bits=\"10",
            "; client_max_window_bits=99999999999999999999",
            "; server_no_context_takeover=1",
            "; client_no_context_takeover=\"\"",
            "; client_no_context_takeover; client_no_context_takeover",
            "; client_max_window_bits; client_max_window_bits=10",
            "; unknown",
            "; =15",
            "; ; client_max_window_bits",
            " client_max_window_bits",
            "=1",
        ] {
            check_parameters(parameters, false);
        }
        check_offer("Sec-WebSocket-Extensions: x-webkit-deflate-frame", false);
        check_offer("Sec-WebSocket-Extensions:", false);
        check_offer("Sec-WebSocket-Extensions: \"permessage-deflate\"", false);
        check_offer(
            "Sec-WebSocket-Extensions: a; b=\", permessage-deflate\"",
            false,
        );
        check_offer(
            "Sec-WebSocket-Extensions: a; b=\"\\\", permessage-deflate",
            false,
        );
    }

    #[test]
    fn later_offers_count() {
        check_parameters("; server_max_window_bits=10, permessage-deflate", true);
        check_parameters(
            "; unknown, permessage-deflate; server_max_window_bits=9",
            false,
        );
        check_offer(
            "Sec-WebSocket-Extensions: foo; a=\"x,\\\"y;\", permessage-deflate",
            true,
        );
        check_offer(
            "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: permessage-deflate",
            true,
        );
        check_offer("Sec-WebSocket-Extensions: ,, permessage-deflate", true);
    }

    #[test]
    fn answers() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let base = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let deflate = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
        for (lines, extension) in [
            (String::new(), String::new()),
            (format!("{offer}\r\n"), format!("{deflate}\r\n")),
            (
                format!("{offer}; server_max_window_bits=15\r\n"),
                format!("{deflate}; server_max_window_bits=15\r\n"),
            ),
        ] {
            let upgrade =
                accept_lines(&format!("{VERSION_LINE}{KEY_LINE}{lines}"), true).expect("valid");
            let mut out = Vec::new();
            write_answer(&mut out, date, &upgrade);
            assert_eq!(
                String::from_utf8_lossy(&out),
                format!("{base}{extension}Date: {date}\r\n\r\n")
            );
        }
    }
}
