//! Secrets in lines for logs: whatever stands behind a name like `token=` or `"password":` becomes `?`. Knows names,
//! not protocols, so it finds them in URLs, forms, JSON and headers alike; a secret without a name stays.

use std::borrow::Cow;

use memchr::memchr3;

/// What a name holds, in lower case, that stands before a secret.
const PARTS: [&str; 8] = [
    "token",
    "secret",
    "pass",
    "pwd",
    "apikey",
    "api_key",
    "authorization",
    "dbcred",
];

/// A name is looked at no further back than this.
const NAME_BYTES_MAX: usize = 64;

/// Whether a value of that name is not to be shown.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "sign" || PARTS.iter().any(|part| name.contains(part))
}

/// The text with every secret as `?`; borrowed where there is none.
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut kept) = (0, 0);
    // Each secret stands behind a sign, and signs are rare.
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr3(b'=', b':', b'%', rest))
    {
        let sign = at + found;
        at = sign + 1;
        let rest = &bytes[sign..];
        let span = if rest.starts_with(b"://") {
            password(bytes, sign + 3)
        } else if rest[0] != b'%' {
            is_behind_secret(text, sign)
                .then(|| value(bytes, at))
                .flatten()
        } else if rest.get(1..3).is_some_and(is_escaped_sign) {
            is_behind_secret(text, sign)
                .then(|| value(bytes, sign + 3))
                .flatten()
        } else {
            None
        };
        let Some((start, end)) = span else {
            continue;
        };
        // Both ends lie beside ASCII, so between characters.
        out.push_str(text.get(kept..start).unwrap_or_default());
        out.push('?');
        (at, kept) = (end, end);
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Cow::Owned(out)
}

/// `=` or `:` as it stands in a URL within a URL.
fn is_escaped_sign(digits: &[u8]) -> bool {
    digits.eq_ignore_ascii_case(b"3d") || digits.eq_ignore_ascii_case(b"3a")
}

/// Whether the name before a sign is one of a secret's.
fn is_behind_secret(text: &str, sign: usize) -> bool {
    let bytes = text.as_bytes();
    let is_between = |byte: u8| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b']');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let least = sign.saturating_sub(NAME_BYTES_MAX);
    let end = (least..sign)
        .rev()
        .find(|&at| !is_between(bytes[at]))
        .map_or(least, |at| at + 1);
    let start = (least..end)
        .rev()
        .find(|&at| !is_name(bytes[at]))
        .map_or(least, |at| at + 1);
    text.get(start..end).is_some_and(is_secret_name)
}

/// Where a value begins and ends; `None` where there is none.
fn value(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let is_quote = |byte: u8| matches!(byte, b'"' | b'\'' | b'\\');
    let mut start = from;
    while matches!(bytes.get(start), Some(b' ' | b'"' | b'\'' | b'\\' | b'[')) {
        start += 1;
    }
    let is_quoted = start > from && is_quote(bytes[start - 1]);
    let ends = |byte: u8| match byte {
        b'"' | b'\'' | b'\\' => true,
        b'&' | b',' | b';' | b')' | b']' | b'}' | b'<' | b' ' | b'\t' => !is_quoted,
        _ => false,
    };
    let end_of = |from: usize| {
        let rest = &bytes[from..];
        let end = rest.iter().position(|&byte| ends(byte));
        let escaped = memchr::memmem::find(rest, b"%26");
        from + end.into_iter().chain(escaped).min().unwrap_or(rest.len())
    };
    let end = end_of(start.min(bytes.len()));
    // `Bearer x`: the secret is the word behind.
    let is_scheme = [&b"bearer"[..], b"basic", b"digest"]
        .iter()
        .any(|scheme| bytes[start..end].eq_ignore_ascii_case(scheme));
    let end = match is_scheme && bytes.get(end) == Some(&b' ') {
        true => end_of(end + 1),
        false => end,
    };
    (end > start).then_some((start, end))
}

/// The password in `//user:password@host`, from behind the slashes.
fn password(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = &bytes[from..];
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b' ' | b'"' | b'\\' | b'<');
    let authority = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
    let host = authority.iter().rposition(|&byte| byte == b'@')?;
    let colon = authority[..host].iter().position(|&byte| byte == b':')?;
    (colon + 1 < host).then_some((from + colon + 1, from + host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(mask_secrets(text), want);
        assert_eq!(mask_secrets(want), want, "once more");
    }

    #[test]
    fn secrets_are_found_by_their_names() {
        check(
            "httpCall(http://h/a?_token=abc&b=1, null)",
            "httpCall(http://h/a?_token=?&b=1, null)",
        );
        check("u=1&passwd=a%20b&x", "u=1&passwd=?&x");
        check(
            r#"{"user":"u","password":"a, b"}"#,
            r#"{"user":"u","password":"?"}"#,
        );
        check(
            r#"{"msg":"{\"access_token\": \"abc\"}"}"#,
            r#"{"msg":"{\"access_token\": \"?\"}"}"#,
        );
        check("Authorization: Bearer abc.def", "Authorization: ?");
        check(
            r#"["authorization: Basic YQ==","b: 2"]"#,
            r#"["authorization: ?","b: 2"]"#,
        );
        check(
            "url=http%3A%2F%2Fh%2F%3Ftoken%3Dabc%26b%3D1",
            "url=http%3A%2F%2Fh%2F%3Ftoken%3D?%26b%3D1",
        );
        check("data[token]=abc&b", "data[token]=?&b");
        check("conf: conf_P_DBCRED=YQ==", "conf: conf_P_DBCRED=?");
        check(r#"{"sign":"whsec_x","wait":1}"#, r#"{"sign":"?","wait":1}"#);
        check("token=秘密&b=é", "token=?&b=é");
        check("apiKey = 'x y' z", "apiKey = '?' z");
        check("token: a, secret: b", "token: ?, secret: ?");
        check(r#""token":123}"#, r#""token":?}"#);
    }

    #[test]
    fn passwords_in_urls() {
        check("call http://user:a:b@h/p?x=1", "call http://user:?@h/p?x=1");
        check("call http://user@h:80/p", "call http://user@h:80/p");
        check("call http://h:80/p@q:r", "call http://h:80/p@q:r");
    }

    #[test]
    fn other_lines_stay() {
        for text in [
            "",
            "=== REQ at [2026-11-22 13:25:00] [app app1] add user: 100 #7",
            "[app token] add user: x #7",
            "fail to call `push`: [2,\"未登录\",\"token required\"]",
            "token=",
            "token:",
            "token=&b=1",
            "design=1&assign:2",
            "%",
            "%3",
            "token%3",
            "://",
            ":",
            "=",
        ] {
            assert!(
                matches!(mask_secrets(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    #[test]
    fn any_cut_of_a_line_is_taken() {
        let text = "é token=秘 \"pass\" : \"é\" http://é:秘@h Authorization: Bearer é %3Dtoken%3Dé";
        for (start, _) in text.char_indices() {
            for (end, _) in text.char_indices().filter(|(end, _)| *end >= start) {
                mask_secrets(&text[start..end]);
            }
        }
        assert!(!mask_secrets(text).contains('秘'));
    }
}
