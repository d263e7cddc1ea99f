//! Entity tags: making them and comparing them with `If-None-Match`. Never reads a file.

/// A tag of in-memory content: its FNV-1a hash in quotes, known when the binary is built.
pub const fn of_content(bytes: &[u8]) -> [u8; 18] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    let mut tag = [b'"'; 18];
    let mut digit = 0;
    while digit < 16 {
        tag[digit + 1] = b"0123456789abcdef"[(hash >> (60 - 4 * digit)) as usize & 15];
        digit += 1;
    }
    tag
}

/// A file's tag: size in bytes and time of change (ns since 1970) in hex, in quotes.
pub fn of_file(size: u64, changed_ns: u128) -> String {
    format!("\"{size:x}-{changed_ns:x}\"")
}

/// Whether `If-None-Match` names `etag` (in quotes, not weak), so that the answer is 304. Takes
/// one header value: `*`, or a list whose `W/` is ignored. A malformed rest names nothing.
/// Source: RFC 9110, 13.1.2 and 8.8.3.2 (weak comparison).
pub fn is_named(if_none_match: &[u8], etag: &str) -> bool {
    let mut rest = if_none_match.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        while let [b',' | b' ' | b'\t', tail @ ..] = rest {
            rest = tail;
        }
        let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
        if tag.first() != Some(&b'"') {
            return false;
        }
        let Some(inner) = memchr::memchr(b'"', &tag[1..]) else {
            return false;
        };
        if tag[..inner + 2] == *etag.as_bytes() {
            return true;
        }
        rest = &tag[inner + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, named: bool) {
        assert_eq!(is_named(header.as_bytes(), "\"a1-2\""), named, "{header:?}");
    }

    #[test]
    fn lists_weak_tags_and_star() {
        check("\"a1-2\"", true);
        check("W/\"a1-2\"", true);
        check("*", true);
        check(" * ", true);
        check("\"x\", \"a1-2\"", true);
        check("\"x\",,\tW/\"y,\" , W/\"a1-2\"", true);
        check("\"a,b\",\"a1-2\"", true);
    }

    #[test]
    fn other_values_name_nothing() {
        for header in [
            "",
            "a1-2",
            "\"a1-2",
            "a1-2\"",
            "\"A1-2\"",
            "\"x\"",
            "w/\"a1-2\"",
            "\"x, \"a1-2\"",
            "W/",
            "*,\"x\"",
            ",,,",
        ] {
            check(header, false);
        }
    }

    #[test]
    fn content_tags_are_fnv_1a() {
        // The published check values of 64-bit FNV-1a.
        assert_eq!(&of_content(b""), b"\"cbf29ce484222325\"");
        assert_eq!(&of_content(b"foobar"), b"\"85944171f73967e8\"");
    }
}
