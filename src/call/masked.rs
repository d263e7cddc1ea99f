//! Parameters as text for logs: passwords and tokens are `?`, all else as it came, up to a bound.

use std::borrow::Cow;

use crate::proto::form::{Field, Form};
use crate::proto::json;
use crate::proto::mask::is_secret_name;

/// Adds `name=value, name=value`.
pub fn push_form(out: &mut String, form: &Form<'_>, bytes_max: usize) {
    let start = out.len();
    for (name, field) in form.iter() {
        if out.len() - start >= bytes_max {
            break;
        }
        if out.len() > start {
            out.push_str(", ");
        }
        out.push_str(cut(name, bytes_max));
        out.push('=');
        match field {
            _ if is_secret_name(name) => out.push('?'),
            Field::Text(text) if text.trim_start().starts_with(['{', '[']) => {
                push_json(out, text, bytes_max);
            }
            Field::Text(text) => out.push_str(cut(text, bytes_max)),
            Field::Json(value) => push_json(out, &json::to_text(value), bytes_max),
        }
    }
    cut_to(out, start + bytes_max);
}

/// Adds a text that is JSON, or about to be.
pub fn push_json(out: &mut String, text: &str, bytes_max: usize) {
    let start = out.len();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && out.len() - start < bytes_max {
        let end = match bytes[at] {
            b'"' => string_end(bytes, at),
            _ => bytes[at..]
                .iter()
                .position(|&byte| byte == b'"')
                .map_or(bytes.len(), |n| at + n),
        };
        let piece = &text[at..end];
        out.push_str(cut(piece, bytes_max));
        at = end;
        let behind = skip_blanks(bytes, end);
        let is_name = piece.starts_with('"') && bytes.get(behind) == Some(&b':');
        if is_name && is_secret_name(&name_of(piece)) {
            out.push_str(":\"?\"");
            at = value_end(bytes, skip_blanks(bytes, behind + 1));
        }
    }
    cut_to(out, start + bytes_max);
}

fn name_of(quoted: &str) -> Cow<'_, str> {
    match serde_json::from_str::<String>(quoted) {
        Ok(name) => Cow::Owned(name),
        Err(_) => Cow::Borrowed(quoted),
    }
}

/// Behind the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Behind the value that begins at `at`.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + depth,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// At most so many bytes, whole characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn cut_to(out: &mut String, bytes_max: usize) {
    let end = cut(out, bytes_max).len();
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_json(text: &str, want: &str) {
        let mut out = String::new();
        push_json(&mut out, text, 1_000);
        assert_eq!(out, want);
    }

    #[test]
    fn secrets_in_json_are_hidden_and_nothing_else() {
        check_json(r#"{"pwd":"x","a":1}"#, r#"{"pwd":"?","a":1}"#);
        check_json(
            r#"{ "oldPwd" : "a\"b" , "b":"pwd"}"#,
            r#"{ "oldPwd":"?" , "b":"pwd"}"#,
        );
        check_json(
            r#"{"_pwd":{"a":["x"],"b":"}"},"c":2}"#,
            r#"{"_pwd":"?","c":2}"#,
        );
        check_json(
            r#"[{"ac":"login","post":{"password":12}}]"#,
            r#"[{"ac":"login","post":{"password":"?"}}]"#,
        );
        check_json(
            r#"{"p\u0077d":"x","newPassword":null}"#,
            r#"{"p\u0077d":"?","newPassword":"?"}"#,
        );
        check_json(
            r#"{"a":"pwd\":\"x","token":[1,[2]]}"#,
            r#"{"a":"pwd\":\"x","token":"?"}"#,
        );
        for text in [
            "",
            "\"",
            "\"pwd\":",
            "\"pwd\":\"x",
            "\"pwd\":[",
            "{\"pwd\":}",
            "\\\"\\",
            "é\"pwd\": é",
        ] {
            let mut out = String::new();
            push_json(&mut out, text, 1_000);
            assert!(!out.contains('x'), "{text}: {out}");
        }
    }

    #[test]
    fn forms_are_name_and_value() {
        let form = Form::parse(
            b"a=1&pwd=x&b[c]=2&b[oldpwd]=y&_token=z&d=%C3%A9&e={\"pwd\":\"w\"}&accessToken=v&conf_P_DBCRED=u&my_secret=t",
        );
        let mut out = "> ".to_owned();
        push_form(&mut out, &form, 1_000);
        assert_eq!(
            out,
            r#"> a=1, pwd=?, b={"c":"2","oldpwd":"?"}, _token=?, d=é, e={"pwd":"?"}, accessToken=?, conf_P_DBCRED=?, my_secret=?"#
        );
    }

    #[test]
    fn texts_are_cut_at_whole_characters() {
        for max in 0..40 {
            let mut out = String::new();
            push_form(
                &mut out,
                &Form::parse("a=éééé&b=éé&c[d]=éééé".as_bytes()),
                max,
            );
            assert!(out.len() <= max, "{max}: {out}");
            out.clear();
            push_json(&mut out, r#"{"é":"éé","pwd":"é","x":[1,2]}"#, max);
            assert!(out.len() <= max, "{max}: {out}");
        }
        assert_eq!(cut("aé", 2), "a");
    }
}
