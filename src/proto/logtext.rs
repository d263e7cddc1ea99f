//! How a log line looks (contract 6): the local time, the two prefixes, a peer's text made
//! harmless. Never writes a file and never reads a clock.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Local time as `YYYY-MM-DD HH:MM:SS`, formatted once per second.
#[derive(Debug)]
pub struct LogTime {
    zone: TimeZone,
    unix_s: u64,
    text: String,
}

impl LogTime {
    /// A formatter for one time zone.
    pub fn new(zone: TimeZone) -> Self {
        let mut time = LogTime {
            zone,
            unix_s: 0,
            text: String::new(),
        };
        time.format(0);
        time
    }

    /// The time, from Unix ms. Beyond the year 9999 it is that of 1970.
    pub fn text(&mut self, unix_ms: u64) -> &str {
        let unix_s = unix_ms / 1_000;
        if unix_s != self.unix_s {
            self.format(unix_s);
        }
        &self.text
    }

    /// The same as `YYYYMMDD-HHMMSS`, for names of files.
    pub fn stamp(&mut self, unix_ms: u64) -> String {
        self.text(unix_ms).replace(['-', ':'], "").replace(' ', "-")
    }

    fn format(&mut self, unix_s: u64) {
        let instant = i64::try_from(unix_s)
            .ok()
            .and_then(|s| Timestamp::from_second(s).ok());
        let local = self.zone.to_datetime(instant.unwrap_or_default());
        self.unix_s = unix_s;
        self.text.clear();
        let (year, month, day) = (local.year(), local.month(), local.day());
        // Writing to a String cannot fail.
        let _ = write!(
            self.text,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
            local.hour(),
            local.minute(),
            local.second()
        );
    }

    /// A line of the server's own log, without line end: `=== REQ at [TIME] text`.
    pub fn server_line(&mut self, unix_ms: u64, text: &str) -> String {
        ["=== REQ at [", self.text(unix_ms), "] ", text].concat()
    }

    /// A line of `trace.log` and its like, without line end: `=== REQ from [ADDR] at [TIME] text`.
    /// `address` is the peer, `PEER; X-Forwarded-For`, or `nil`; it is escaped here, `text` is not.
    pub fn request_line(&mut self, address: &str, unix_ms: u64, text: &str) -> String {
        let address = log_text(address, ADDRESS_BYTES_MAX);
        [
            "=== REQ from [",
            &address,
            "] at [",
            self.text(unix_ms),
            "] ",
            text,
        ]
        .concat()
    }
}

/// `X-Forwarded-For` is a peer's text of any length.
const ADDRESS_BYTES_MAX: usize = 256;

/// A peer's text for a log line: control characters, also those beyond ASCII, and Unicode's line
/// and direction marks are escaped (`\n`, `\x1b`, `\u{202e}`), and what is beyond `bytes_max` bytes is
/// replaced by `...(+N bytes)`. Borrows where nothing had to change.
pub fn log_text(text: &str, bytes_max: usize) -> Cow<'_, str> {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = &text[..end];
    if kept.len() == text.len() && !kept.bytes().any(may_need_escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(kept.len() + 24);
    for c in kept.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if c.is_control() => write!(out, "\\x{:02x}", c as u32),
            '\u{2028}'
            | '\u{2029}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                write!(out, "\\u{{{:x}}}", c as u32)
            }
            c => out.write_char(c),
        };
    }
    if kept.len() < text.len() {
        let _ = write!(out, "...(+{} bytes)", text.len() - kept.len());
    }
    Cow::Owned(out)
}

/// ASCII controls, and the first bytes of U+0080..U+00BF and U+2000..U+2FFF.
fn may_need_escape(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == 0xc2 || byte == 0xe2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes_max: usize, want: &str) {
        assert_eq!(log_text(text, bytes_max), want);
    }

    #[test]
    fn text_is_escaped() {
        check("a\nb\r\n\tc", 100, "a\\nb\\r\\n\\tc");
        check("\0\x1b[31m\x7f", 100, "\\x00\\x1b[31m\\x7f");
        check("\u{85}\u{9b}", 100, "\\x85\\x9b");
        check("a\u{202e}b\u{2028}c", 100, "a\\u{202e}b\\u{2028}c");
        check("§ € 中文 \\ \"", 100, "§ € 中文 \\ \"");
        check("", 0, "");
    }

    #[test]
    fn text_is_cut_between_characters() {
        check("abcdef", 6, "abcdef");
        check("abcdef", 5, "abcde...(+1 bytes)");
        check("中文", 5, "中...(+3 bytes)");
        check("中文", 0, "...(+6 bytes)");
    }

    #[test]
    fn clean_text_is_borrowed() {
        assert!(matches!(log_text("plain 中文", 100), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_have_the_form_that_tools_parse() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let mut time = LogTime::new(zone);
        // 2024-02-29 16:00:05 UTC is the next day, eight hours east.
        let unix_ms = 1_709_222_405_999;
        assert_eq!(
            time.server_line(unix_ms, "start"),
            "=== REQ at [2024-03-01 00:00:05] start"
        );
        assert_eq!(
            time.request_line("nil", unix_ms, "x"),
            "=== REQ from [nil] at [2024-03-01 00:00:05] x"
        );
        assert_eq!(
            time.request_line("1.2.3.4; a\nb", unix_ms + 1, "x"),
            "=== REQ from [1.2.3.4; a\\nb] at [2024-03-01 00:00:06] x"
        );
        assert_eq!(time.stamp(unix_ms), "20240301-000005");
        assert_eq!(time.text(0), "1970-01-01 08:00:00");
        assert_eq!(time.text(u64::MAX), "1970-01-01 08:00:00");
    }
}
