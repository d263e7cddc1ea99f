//! `multipart/form-data` bodies (RFC 7578), whole in memory. Files count as their content: a part with a
//! `filename` is a plain value. Never more than one look at a byte for framing.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use crate::limits::{BOUNDARY_BYTES_MAX, PART_HEAD_BYTES_MAX};
use crate::proto::form::Form;
use crate::proto::form::builder::Builder;

/// The boundary named by a Content-Type value, if it is a valid `multipart/form-data` one.
/// Source: RFC 2046 section 5.1.1 (1 to 70 characters of a small set, no blank at the end).
pub fn boundary(content_type: &str) -> Option<&str> {
    let value = named(content_type.as_bytes(), b"multipart/form-data", b"boundary")?;
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len()) && !value.ends_with(b" ");
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    std::str::from_utf8(value)
        .ok()
        .filter(|value| fits && value.as_bytes().iter().all(allowed))
}

/// Parses a body. `None` when it is not well formed: no first or no closing delimiter, or a part whose header
/// does not end. A part that is not named `form-data` is left out, as in PHP.
pub fn parse<'a>(body: &'a [u8], boundary: &str) -> Option<Form<'a>> {
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut builder = Builder::default();
    // The line end before the first delimiter is there only behind a preamble.
    let mut behind = match body.strip_prefix(&delimiter[2..]).and_then(delimiter_line) {
        Some(behind) => behind,
        None => next_delimiter(body, &finder)?.1,
    };
    while let Behind::Part(rest) = behind {
        let (part, next) = next_delimiter(rest, &finder)?;
        let (head, content) = split_part(part)?;
        if let Some(name) = field_name(head) {
            builder.push(name, String::from_utf8_lossy(content));
        }
        behind = next;
    }
    Some(builder.finish())
}

/// What a delimiter is followed by.
enum Behind<'a> {
    Part(&'a [u8]),
    Epilogue,
}

/// Reads the rest of a delimiter's line; `None` where the boundary is only the beginning of something else.
fn delimiter_line(rest: &[u8]) -> Option<Behind<'_>> {
    if rest.starts_with(b"--") {
        return Some(Behind::Epilogue);
    }
    let padding = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    rest[padding..].strip_prefix(b"\r\n").map(Behind::Part)
}

/// The bytes up to the next delimiter, and what is behind it.
fn next_delimiter<'a>(
    rest: &'a [u8],
    finder: &memmem::Finder<'_>,
) -> Option<(&'a [u8], Behind<'a>)> {
    // A delimiter holds its line end once, at its start, so two never overlap.
    finder.find_iter(rest).find_map(|at| {
        Some((
            &rest[..at],
            delimiter_line(&rest[at + finder.needle().len()..])?,
        ))
    })
}

/// The header and the content of a part.
fn split_part(part: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(content) = part.strip_prefix(b"\r\n") {
        return Some((b"", content));
    }
    let end = memmem::find(&part[..part.len().min(PART_HEAD_BYTES_MAX)], b"\r\n\r\n")?;
    Some((&part[..end], &part[end + 4..]))
}

/// The `name` in the Content-Disposition of a part's header.
fn field_name(head: &[u8]) -> Option<Cow<'_, str>> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = memchr(b':', line)?;
        let (field, value) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        field
            .eq_ignore_ascii_case(b"content-disposition")
            .then(|| named(value, b"form-data", b"name"))?
            .map(unquote)
    })
}

/// The parameter `name` of a header value `kind; a=b; c="d"`, without its quotes. Names in any case.
fn named<'a>(value: &'a [u8], kind: &[u8], name: &[u8]) -> Option<&'a [u8]> {
    let end = memchr(b';', value)?;
    if !value[..end].trim_ascii().eq_ignore_ascii_case(kind) {
        return None;
    }
    let mut rest = &value[end..];
    while let Some(parameter) = rest.strip_prefix(b";") {
        let end = memchr2(b'=', b';', parameter)?;
        if parameter[end] == b';' {
            rest = &parameter[end..];
            continue;
        }
        let key = parameter[..end].trim_ascii();
        let (value, behind) = parameter_value(parameter[end + 1..].trim_ascii_start())?;
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = &behind[memchr(b';', behind).unwrap_or(behind.len())..];
    }
    None
}

/// A parameter's value without its quotes, and what is behind it; `None` where a quote stays open.
fn parameter_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr(b';', text).unwrap_or(text.len());
        return Some((text[..end].trim_ascii_end(), &text[end..]));
    };
    let mut end = 0;
    loop {
        end += memchr2(b'"', b'\\', &quoted[end..])?;
        if quoted[end] == b'"' {
            return Some((&quoted[..end], &quoted[end + 1..]));
        }
        // Whatever a backslash escapes does not end the text.
        end = (end + 2).min(quoted.len());
    }
}

/// A name as it was before quoting: `\"` and `\\` (RFC 822 style), `%22`, `%0D` and `%0A` (browsers; no other
/// percent escape is one, and a `%` itself is sent bare).
fn unquote(text: &[u8]) -> Cow<'_, str> {
    if memchr2(b'\\', b'%', text).is_none() {
        return String::from_utf8_lossy(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        let (byte, behind) = match rest {
            [b'\\', escaped @ (b'"' | b'\\'), behind @ ..] => (*escaped, behind),
            [b'%', b'2', b'2', behind @ ..] => (b'"', behind),
            [b'%', b'0', b'D' | b'd', behind @ ..] => (b'\r', behind),
            [b'%', b'0', b'A' | b'a', behind @ ..] => (b'\n', behind),
            _ => (*byte, tail),
        };
        out.push(byte);
        rest = behind;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check_boundary(content_type: &str, expected: Option<&str>) {
        assert_eq!(boundary(content_type), expected, "{content_type}");
    }

    #[test]
    fn boundaries() {
        check_boundary("multipart/form-data; boundary=abc", Some("abc"));
        check_boundary("Multipart/Form-Data;BOUNDARY=abc", Some("abc"));
        check_boundary("multipart/form-data; boundary=\"a b:c\"", Some("a b:c"));
        check_boundary(
            "multipart/form-data; charset=utf-8 ; boundary=abc ; x=y",
            Some("abc"),
        );
        check_boundary("multipart/form-data; x; boundary=abc", Some("abc"));
        check_boundary(
            "multipart/form-data; x=\"; boundary=no\"; boundary=abc",
            Some("abc"),
        );
        check_boundary(
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            Some("----WebKitFormBoundary7MA4YWxkTrZu0gW"),
        );
        check_boundary(
            &format!("multipart/form-data; boundary={}", "a".repeat(70)),
            Some(&"a".repeat(70)),
        );
        check_boundary(
            &format!("multipart/form-data; boundary={}", "a".repeat(71)),
            None,
        );
        check_boundary("multipart/form-data", None);
        check_boundary("multipart/form-data;", None);
        check_boundary("multipart/form-data; boundary=", None);
        check_boundary("multipart/form-data; boundary=\"\"", None);
        check_boundary("multipart/form-data; boundary=\"abc", None);
        check_boundary("multipart/form-data; boundary=\"a \"", None);
        check_boundary("multipart/form-data; boundary=a\"b", None);
        check_boundary("multipart/form-data; boundary=é", None);
        check_boundary("multipart/mixed; boundary=abc", None);
        check_boundary("", None);
    }

    /// Lines joined by CRLF.
    #[track_caller]
    fn check(lines: &[&str], expected: Option<Value>) {
        let body = lines.join("\r\n");
        assert_eq!(
            parse(body.as_bytes(), "b").map(Form::into_value),
            expected,
            "{body}"
        );
    }

    /// One field whose Content-Disposition is `disposition`.
    #[track_caller]
    fn check_name(disposition: &str, expected: Value) {
        check(&["--b", disposition, "", "v", "--b--", ""], Some(expected));
    }

    #[test]
    fn bodies() {
        let a = "Content-Disposition: form-data; name=\"a\"";
        check(&["--b", a, "", "1", "--b--", ""], Some(json!({"a": "1"})));
        check(&["--b", a, "", "1", "--b--"], Some(json!({"a": "1"})));
        check(&["--b", a, "", "", "--b--"], Some(json!({"a": ""})));
        check(
            &[
                "--b",
                a,
                "",
                "1",
                "--b",
                "content-disposition:form-data;name=c",
                "",
                "2",
                "--b--",
                "",
            ],
            Some(json!({"a": "1", "c": "2"})),
        );
        check(
            &[
                "preamble", "", "--b", a, "", "1", "--b--", "epilogue", "--b", "x",
            ],
            Some(json!({"a": "1"})),
        );
        check(&["", "--b", a, "", "1", "--b--"], Some(json!({"a": "1"})));
        check(&["--b \t", a, "", "1", "--b--"], Some(json!({"a": "1"})));
        check(
            &[
                "--b",
                "Content-Type: text/plain",
                a,
                "",
                "你\r\n好\n--b\n",
                "--b--",
            ],
            Some(json!({"a": "你\r\n好\n--b\n"})),
        );
        check(
            &["--b", a, "", "1", "--bc", "2", "--b--"],
            Some(json!({"a": "1\r\n--bc\r\n2"})),
        );
        check(
            &["--b", a, "", "1", "--b", a, "", "2", "--b--"],
            Some(json!({"a": "2"})),
        );
        check(&["--b--", ""], Some(json!([])));
    }

    #[test]
    fn names() {
        check_name(
            "Content-Disposition: form-data; name=\"m[id]\"",
            json!({"m": {"id": "v"}}),
        );
        check_name(
            "Content-Disposition: form-data; name=\"m[]\"",
            json!({"m": ["v"]}),
        );
        check_name(
            "Content-Disposition: form-data; name=\"a%22b%0D%0Ac%20%\"",
            json!({"a\"b\r\nc%20%": "v"}),
        );
        check_name(
            "Content-Disposition: form-data; name=\"a\\\"b\\\\c\\d\"",
            json!({"a\"b\\c\\d": "v"}),
        );
        check_name(
            "Content-Disposition: form-data; name=\"a;b=c\"",
            json!({"a;b=c": "v"}),
        );
        check_name(
            "Content-Disposition: form-data; filename=\"x; name=no\"; name=\"f\"",
            json!({"f": "v"}),
        );
        check_name(
            "Content-Disposition: form-data; name=\"你\"; filename=\"x.txt\"",
            json!({"你": "v"}),
        );
        check_name(
            "CONTENT-DISPOSITION : Form-Data ; NAME = a",
            json!({"a": "v"}),
        );
        check_name("X: y", json!([]));
        check_name("Content-Disposition: attachment; name=\"a\"", json!([]));
        check_name("Content-Disposition: form-data", json!([]));
        check_name("Content-Disposition: form-data; name=\"\"", json!([]));
        check_name("Content-Disposition: form-data; name=\"a", json!([]));
        check_name("Content-Disposition: form-data; name=\"a\\", json!([]));
    }

    #[test]
    fn a_part_without_a_header_is_left_out() {
        check(&["--b", "", "1", "--b--"], Some(json!([])));
    }

    #[test]
    fn malformed_bodies() {
        let a = "Content-Disposition: form-data; name=\"a\"";
        check(&[""], None);
        check(&["a=1"], None);
        check(&["--b"], None);
        check(&["--c", a, "", "1", "--c--"], None);
        check(&["--b", a, "", "1"], None);
        check(&["--b", a, "", "1", "--b"], None);
        check(&["--b", a, "", "1", "--b-"], None);
        check(&["--b", a, "1", "--b--"], None);
        check(&["--b", a, "--b--"], None);
        check(
            &["--b", &"x".repeat(PART_HEAD_BYTES_MAX), "", "1", "--b--"],
            None,
        );
        assert_eq!(
            parse(
                b"--b\nContent-Disposition: form-data; name=a\n\n1\n--b--",
                "b"
            ),
            None
        );
    }

    #[test]
    fn every_prefix_of_a_body_is_malformed() {
        let body = b"x\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\n2\r\n--b--";
        assert!(parse(body, "b").is_some());
        for end in 0..body.len() {
            assert_eq!(parse(&body[..end], "b"), None, "{end}");
        }
    }

    #[test]
    fn content_is_any_bytes() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"a\xff\"\r\n\r\n\0\xff\r\n--b--";
        assert_eq!(
            parse(body, "b").map(Form::into_value),
            Some(json!({"a\u{fffd}": "\0\u{fffd}"}))
        );
    }

    #[test]
    fn hostile_bodies_take_no_time() {
        let many = "--b\r\nContent-Disposition: form-data; name=a[]\r\n\r\n\r\n".repeat(60_000);
        let form = parse(many.as_bytes(), "b");
        assert_eq!(form, None);
        let form =
            parse([many.as_bytes(), b"--b--"].concat().as_slice(), "b").map(Form::into_value);
        assert_eq!(
            form.and_then(|form| form["a"].as_array().map(Vec::len)),
            Some(crate::limits::FORM_PAIRS_MAX)
        );
        for almost in ["\r\n--", "\r\n--b", "\r\n--b ", "--b", "\r", "-"] {
            let body = format!("--b\r\n\r\n{}", almost.repeat((2 << 20) / almost.len()));
            assert_eq!(parse(body.as_bytes(), "b"), None, "{almost:?}");
        }
        let padding = format!("\r\n--b{}", " ".repeat(1_000)).repeat(2_000);
        assert_eq!(parse(padding.as_bytes(), "b"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse(body in prop::collection::vec(prop_oneof![
            Just(b"\r\n".to_vec()), Just(b"--b".to_vec()), Just(b"--".to_vec()), Just(b"\r\n\r\n".to_vec()),
            Just(b"Content-Disposition: form-data; name=".to_vec()), Just(b"\"a\\\"".to_vec()), any::<u8>().prop_map(|byte| vec![byte]),
        ], 0..40)) {
            parse(&body.concat(), "b");
        }

        #[test]
        fn contents_come_back(fields in prop::collection::hash_map("[a-z]{1,5}", "[a-z\r\n-]{0,20}", 1..5)) {
            let part = |(name, value)| format!("--BouNdary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            let body = fields.iter().map(part).collect::<String>() + "--BouNdary--\r\n";
            prop_assert_eq!(parse(body.as_bytes(), "BouNdary").map(Form::into_value), Some(json!(fields)));
        }
    }
}
