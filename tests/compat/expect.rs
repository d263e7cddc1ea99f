//! Compares an answer with an expectation: a literal, `{"re": ..}` (full match) or `{"json": ..}`
//! (equal as JSON). Never a socket.

use regex_lite::Regex;
use serde_json::Value;

/// Whether `got` is what `want` asks for. An object asks only for the keys it names.
pub fn same(want: &Value, got: &Value) -> bool {
    match (only(want, "re"), only(want, "json")) {
        (Some(pattern), _) => {
            let pattern = pattern.as_str().expect("a pattern is a string");
            let whole = Regex::new(&format!(r"(?s)\A(?:{pattern})\z")).expect("a valid pattern");
            return got.as_str().is_some_and(|text| whole.is_match(text));
        }
        (None, Some(json)) => {
            let parsed = got.as_str().map(serde_json::from_str::<Value>);
            return matches!(parsed, Some(Ok(parsed)) if equal(&parsed, json));
        }
        (None, None) => {}
    }
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => want
            .iter()
            .all(|(key, want)| got.get(key).is_some_and(|got| same(want, got))),
        (Value::Array(want), Value::Array(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| same(want, got))
        }
        _ => equal(want, got),
    }
}

/// Equal as JSON: the order of keys and the spelling of a number do not count.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// The value of `key` when it is the only one.
fn only<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    if object.len() == 1 {
        object.get(key)
    } else {
        None
    }
}

#[test]
fn comparison() {
    #[track_caller]
    fn check(want: &str, got: &str, wanted: bool) {
        let value = |text| serde_json::from_str(text).expect("JSON");
        assert_eq!(
            same(&value(want), &value(got)),
            wanted,
            "{want} against {got}"
        );
    }
    check(r#""a""#, r#""a""#, true);
    check(r#""a""#, r#""b""#, false);
    check(r#"{"re":"a.c"}"#, r#""a\nc""#, true);
    check(r#"{"re":"a|b"}"#, r#""bc""#, false);
    check(r#"{"re":"a"}"#, "1", false);
    check(
        r#"{"json":{"a":1.0,"b":2}}"#,
        r#""{\"b\":2,\"a\":1}""#,
        true,
    );
    check(r#"{"json":{"a":1}}"#, r#""{\"a\":1,\"b\":2}""#, false);
    check(r#"{"json":1}"#, r#""{""#, false);
    check(r#"{"status":200}"#, r#"{"status":200,"body":"x"}"#, true);
    check(r#"{"status":200,"body":"y"}"#, r#"{"status":200}"#, false);
    check(r#"[{"path":"/"}]"#, r#"[{"path":"/","body":""}]"#, true);
    check("[]", r#"[{"path":"/"}]"#, false);
}
