//! What a call answers, before any shape.

use serde_json::Value;

use crate::call::error::CallError;
use crate::proto::json;

/// The outcome of one call.
pub type Answer = Result<Data, CallError>;

/// What a successful call answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `null`
    Null,
    /// A number: what push answers, without the cost of a [`Value`].
    Count(u64),
    /// Anything else.
    Json(Value),
    /// A long list or object that another thread wrote already, as [`json::write`] does; taken
    /// apart only where a shape needs its parts.
    Rendered(Box<str>),
    /// What a plugin wrote itself, with its Content-Type: no shape is put on it.
    Page(Box<Page>),
}

/// A response's body as a plugin wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `Content-Type`: no CR or LF.
    pub content_type: Box<str>,
    /// The body.
    pub body: Box<[u8]>,
}

impl Data {
    /// As a JSON value.
    pub fn into_value(self) -> Value {
        match self {
            Data::Null => Value::Null,
            Data::Count(count) => Value::from(count),
            Data::Json(value) => value,
            // What our own writer wrote always parses.
            Data::Rendered(text) => serde_json::from_str(&text).unwrap_or_default(),
            Data::Page(page) => String::from_utf8_lossy(&page.body).into(),
        }
    }
}

/// Appends `[0,data]` or `[code,message,detail]`, without the newline.
pub fn write(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Ok(data) => {
            out.extend_from_slice(b"[0,");
            write_data(out, data);
        }
        Err(error) => {
            out.push(b'[');
            write_integer(out, error.code.into());
            out.push(b',');
            json::write_str(out, &error.message);
            out.push(b',');
            json::write_str(out, &error.detail);
        }
    }
    out.push(b']');
}

/// Appends what a call answered, as JSON.
pub fn write_data(out: &mut Vec<u8>, data: &Data) {
    match data {
        Data::Null => out.extend_from_slice(b"null"),
        Data::Count(count) => write_count(out, *count),
        Data::Json(value) => json::write(out, value),
        Data::Rendered(text) => out.extend_from_slice(text.as_bytes()),
        Data::Page(page) => json::write_str(out, &String::from_utf8_lossy(&page.body)),
    }
}

/// The same as a JSON value (a batch's answer holds them).
pub fn to_value(answer: Answer) -> Value {
    Value::Array(match answer {
        Ok(data) => vec![Value::from(0), data.into_value()],
        Err(error) => vec![
            error.code.into(),
            error.message.into_owned().into(),
            error.detail.into_owned().into(),
        ],
    })
}

/// Appends the decimal digits of a signed number.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    write_count(out, number.unsigned_abs());
}

/// Appends the decimal digits of a number: each push answers one, so no formatter.
pub(crate) fn write_count(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(answer: Answer, expect: &str) {
        let mut out = b"=".to_vec();
        write(&mut out, &answer);
        assert_eq!(String::from_utf8(out).unwrap(), format!("={expect}"));
        assert_eq!(
            to_value(answer),
            serde_json::from_str::<Value>(expect).unwrap()
        );
    }

    #[test]
    fn answers() {
        check(Ok(Data::Null), "[0,null]");
        check(Ok(Data::Count(0)), "[0,0]");
        check(Ok(Data::Count(10)), "[0,10]");
        check(Ok(Data::Count(u64::MAX)), "[0,18446744073709551615]");
        check(Ok(Data::Json(json!([]))), "[0,[]]");
        check(Ok(Data::Rendered("[{\"a\":1}]".into())), r#"[0,[{"a":1}]]"#);
        check(
            Ok(Data::Json(json!({"a": "ü<\"/"}))),
            r#"[0,{"a":"ü<\"/"}]"#,
        );
        check(
            Err(CallError::with_message(1, "缺少参数`a`", "x")),
            "[1,\"缺少参数`a`\",\"x\"]",
        );
        check(
            Err(CallError::with_message(-100, "中\"止", "a\nb")),
            r#"[-100,"中\"止","a\nb"]"#,
        );
        check(
            Err(CallError::with_message(i32::MIN, "", "")),
            r#"[-2147483648,"",""]"#,
        );
    }

    #[test]
    fn digits() {
        for number in [0, 1, 9, 10, 99, 100, 12345, i64::MAX, -1, -10, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
