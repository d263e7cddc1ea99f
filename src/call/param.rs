//! Typed parameters: `id`, `name/i`, `/n`, `/b`, `/dt`, `/tm`, `/s`, `/i+`, `/js`, `i:n?:s` (contract 1).
//! Turns what came into what was meant, or says what is wrong with it; never where it came from
//! ([`super::source`]). Days and times are read by [`super::time`], lists of tuples by [`super::tuples`].

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde_json::{Number, Value};

use crate::call::error::CallError;
use crate::call::number::Numeric;
use crate::call::time;
use crate::call::tuples::Tuples;
use crate::proto::form::Field;
use crate::proto::json;

/// What a parameter is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// An integer: the parameter `id`, and every `…Id` without another type.
    Id,
    /// `/i`
    Integer,
    /// `/n`
    Number,
    /// `/b`: `1 true on yes` or `0 false off no`, in any case.
    Bool,
    /// `/dt`: Unix seconds of that day's midnight.
    Date,
    /// `/tm`: Unix seconds.
    DateTime,
    /// `/s`, or no type at all.
    Text,
    /// `/i+`: integers with commas between.
    Integers,
    /// `/js`: JSON, but not null.
    Json,
    /// `/i:n?:s`: rows with commas between, of columns with colons between.
    Tuples(Tuples),
}

/// Takes `items/i:n` apart into the parameter's name and its type.
///
/// Errors: code 4 where there is no such type, for it is the caller's code that names it, not the peer.
pub fn parse(spec: &str) -> Result<(&str, Type), CallError> {
    let Some((name, kind)) = spec.split_once('/') else {
        let is_id = spec == "id" || spec.ends_with("Id");
        return Ok((spec, if is_id { Type::Id } else { Type::Text }));
    };
    let kind = match kind {
        "id" => Type::Id,
        "i" => Type::Integer,
        "n" => Type::Number,
        "b" => Type::Bool,
        "dt" => Type::Date,
        "tm" => Type::DateTime,
        "s" => Type::Text,
        "i+" => Type::Integers,
        "js" => Type::Json,
        tuples if tuples.find(':').is_some_and(|at| at > 0) => {
            Type::Tuples(Tuples::parse(name, tuples)?)
        }
        _ => {
            return Err(CallError::new(
                4,
                format!("unknown type `{kind}` for param `{name}`"),
            ));
        }
    };
    Ok((name, kind))
}

/// A parameter's value in its type; `tz` is where days begin and times without an offset are told.
///
/// Text is read as the original read it: a number may have blanks around it, an integer may have a fraction, which is
/// dropped. A value of a JSON body may already have its type (5 for `/i`, Unix seconds for `/tm`, a list for `/i+`);
/// 5.0 is no integer there.
///
/// Errors: code 1, ``Bad Request - integer param `x`=`v`.`` and its like (contract 1).
pub fn convert(
    name: &str,
    kind: &Type,
    field: &Field<'_>,
    tz: &TimeZone,
) -> Result<Value, CallError> {
    let value = match kind {
        Type::Text => return Ok(Value::String(text_of(field).into_owned())),
        Type::Integers => return integers(name, field),
        Type::Tuples(tuples) => return tuples.convert(name, field, tz),
        Type::Json => json_value(field),
        Type::Id | Type::Integer => integer(field).map(Value::from),
        Type::Number => number(field),
        Type::Bool => bool_value(field).map(Value::Bool),
        Type::Date => unix(field, tz)
            .and_then(|seconds| time::midnight(seconds, tz))
            .map(Value::from),
        Type::DateTime => unix(field, tz).map(Value::from),
    };
    value.ok_or_else(|| {
        let wanted = match kind {
            Type::Id => "id",
            Type::Integer => "integer",
            Type::Number => "numeric",
            Type::Bool => "bool",
            Type::Date | Type::DateTime => "invalid datetime",
            _ => "invalid json",
        };
        CallError::new(
            1,
            format!(
                "Bad Request - {wanted} param `{name}`=`{}`.",
                text_of(field)
            ),
        )
    })
}

/// The error where none of several parameters is there: ``缺少参数`id or code` ``.
pub fn missing_any(names: &[&str]) -> CallError {
    let names = names.join(" or ");
    CallError::with_message(
        1,
        format!("缺少参数`{names}`"),
        format!("Bad Request - require param {names}"),
    )
}

/// A parameter as text: of a list or an object its JSON.
fn text_of<'f>(field: &'f Field<'_>) -> Cow<'f, str> {
    match field {
        Field::Text(text) => Cow::Borrowed(text),
        Field::Json(Value::String(text)) => Cow::Borrowed(text),
        Field::Json(value) => Cow::Owned(json::to_text(value)),
    }
}

/// The text where it came as text; a JSON value otherwise.
pub(super) fn as_text<'f>(field: &'f Field<'_>) -> Result<&'f str, &'f Value> {
    match field {
        Field::Text(text) => Ok(text),
        Field::Json(Value::String(text)) => Ok(text),
        Field::Json(value) => Err(value),
    }
}

fn integer(field: &Field<'_>) -> Option<i64> {
    match as_text(field) {
        Ok(text) => Numeric::parse(text)?.truncated(),
        Err(value) => value.as_i64(),
    }
}

fn number(field: &Field<'_>) -> Option<Value> {
    match as_text(field) {
        Ok(text) => number_value(Numeric::parse(text)?),
        Err(value) => value.is_number().then(|| value.clone()),
    }
}

pub(super) fn number_value(number: Numeric) -> Option<Value> {
    match number.whole() {
        Some(integer) => Some(Value::from(integer)),
        None => Number::from_f64(number.as_f64()).map(Value::Number),
    }
}

fn bool_value(field: &Field<'_>) -> Option<bool> {
    match as_text(field) {
        Ok(text) => parse_bool(text),
        Err(Value::Bool(yes)) => Some(*yes),
        Err(value) => match value.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
    }
}

/// The words of `/b`, in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["1", "true", "on", "yes"]) {
        Some(true)
    } else if is_one_of(["0", "false", "off", "no"]) {
        Some(false)
    } else {
        None
    }
}

/// Unix seconds of a date or a time; a JSON number is taken for them.
fn unix(field: &Field<'_>, tz: &TimeZone) -> Option<i64> {
    match as_text(field) {
        Ok(text) => time::parse(text, tz),
        Err(value) => value.as_i64(),
    }
}

fn json_value(field: &Field<'_>) -> Option<Value> {
    let value = match field {
        Field::Text(text) => serde_json::from_str(text).ok()?,
        Field::Json(Value::String(text)) => serde_json::from_str(text).ok()?,
        Field::Json(value) => value.clone(),
    };
    Some(value).filter(|value| !value.is_null())
}

fn integers(name: &str, field: &Field<'_>) -> Result<Value, CallError> {
    let bad = |item: &str| {
        CallError::new(
            1,
            format!("Bad Request - int array param `{name}` contains `{item}`."),
        )
    };
    let read = |item: &str| digits(item).map(Value::from).ok_or_else(|| bad(item));
    let items: Result<Vec<Value>, CallError> = match as_text(field) {
        Ok(text) => text.split(',').map(read).collect(),
        Err(Value::Array(items)) => items
            .iter()
            .map(|item| read(&json::to_text(item)))
            .collect(),
        Err(value) => read(&json::to_text(value)).map(|item| vec![item]),
    };
    items.map(Value::Array)
}

/// Digits alone, no sign, as the lists want them; within 64 bits.
pub(super) fn digits(text: &str) -> Option<i64> {
    let only_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if only_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Eight hours east, as in China, without a time zone database.
    fn tz() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    fn converted(spec: &str, field: &Field<'_>) -> Result<Value, CallError> {
        let (name, kind) = parse(spec).unwrap();
        convert(name, &kind, field, &tz())
    }

    #[track_caller]
    fn check(spec: &str, text: &str, expect: Value) {
        assert_eq!(
            converted(spec, &Field::Text(text.into())),
            Ok(expect.clone()),
            "{spec}={text}"
        );
        assert_eq!(
            converted(spec, &Field::Json(text.into())),
            Ok(expect),
            "{spec}={text}"
        );
    }

    #[track_caller]
    fn check_json(spec: &str, value: Value, expect: Value) {
        assert_eq!(converted(spec, &Field::Json(value)), Ok(expect));
    }

    #[track_caller]
    fn check_error(spec: &str, text: &str, detail: &str) {
        let error = converted(spec, &Field::Text(text.into())).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_ref(), error.detail.as_ref()),
            (1, "参数不正确", detail)
        );
    }

    #[track_caller]
    fn check_json_error(spec: &str, value: Value, detail: &str) {
        let error = converted(spec, &Field::Json(value)).unwrap_err();
        assert_eq!((error.code, error.detail.as_ref()), (1, detail));
    }

    #[test]
    fn specs() {
        for (spec, name, kind) in [
            ("id", "id", Type::Id),
            ("fooId", "fooId", Type::Id),
            ("Id", "Id", Type::Id),
            ("fooid", "fooid", Type::Text),
            ("fooId/s", "fooId", Type::Text),
            ("x", "x", Type::Text),
            ("x/i", "x", Type::Integer),
            ("x/n", "x", Type::Number),
            ("x/b", "x", Type::Bool),
            ("x/dt", "x", Type::Date),
            ("x/tm", "x", Type::DateTime),
            ("x/i+", "x", Type::Integers),
            ("x/js", "x", Type::Json),
        ] {
            assert_eq!(parse(spec), Ok((name, kind)), "{spec}");
        }
        for (spec, detail) in [
            ("x/", "unknown type `` for param `x`"),
            ("x/q", "unknown type `q` for param `x`"),
            ("x/i/i", "unknown type `i/i` for param `x`"),
            ("x/:i", "unknown type `:i` for param `x`"),
        ] {
            let error = parse(spec).unwrap_err();
            assert_eq!((error.code, error.detail.as_ref()), (4, detail));
        }
    }

    #[test]
    fn integers_and_ids() {
        for spec in ["id", "x/i"] {
            check(spec, "5", json!(5));
            check(spec, "-5", json!(-5));
            check(spec, " 50 ", json!(50));
            check(spec, "3.9", json!(3));
            check(spec, "1e3", json!(1000));
            check_json(spec, json!(5), json!(5));
            check_json(spec, json!(-5), json!(-5));
        }
        check_error("id", "abc", "Bad Request - id param `id`=`abc`.");
        check_error("fooId", "7x", "Bad Request - id param `fooId`=`7x`.");
        check_error("x/i", "v", "Bad Request - integer param `x`=`v`.");
        check_error(
            "x/i",
            "99999999999999999999",
            "Bad Request - integer param `x`=`99999999999999999999`.",
        );
        for (value, text) in [
            (json!(5.0), "5"),
            (json!(true), "true"),
            (json!([1]), "[1]"),
            (json!({"a": 1}), "{\"a\":1}"),
        ] {
            check_json_error(
                "x/i",
                value,
                &format!("Bad Request - integer param `x`=`{text}`."),
            );
        }
    }

    #[test]
    fn numbers() {
        check("x/n", "1.5", json!(1.5));
        check("x/n", "5", json!(5));
        check("x/n", "-.5e1", json!(-5));
        check_json("x/n", json!(1.5), json!(1.5));
        check_json("x/n", json!(7), json!(7));
        check_error("x/n", "1,5", "Bad Request - numeric param `x`=`1,5`.");
        check_error("x/n", "nan", "Bad Request - numeric param `x`=`nan`.");
        check_json_error(
            "x/n",
            json!(true),
            "Bad Request - numeric param `x`=`true`.",
        );
    }

    #[test]
    fn bools() {
        for text in ["1", "true", "TRUE", "on", "On", "yes", "yEs"] {
            check("x/b", text, json!(true));
        }
        for text in ["0", "false", "False", "off", "OFF", "no", "No"] {
            check("x/b", text, json!(false));
        }
        check_json("x/b", json!(true), json!(true));
        check_json("x/b", json!(0), json!(false));
        check_json("x/b", json!(1), json!(true));
        check_error("x/b", "maybe", "Bad Request - bool param `x`=`maybe`.");
        check_error("x/b", " 1", "Bad Request - bool param `x`=` 1`.");
        check_json_error("x/b", json!(2), "Bad Request - bool param `x`=`2`.");
        check_json_error("x/b", json!([]), "Bad Request - bool param `x`=`[]`.");
    }

    #[test]
    fn dates() {
        let midnight = 1_795_276_800;
        assert_eq!(midnight % 86_400, 16 * 3_600);
        for text in [
            "2026-11-22",
            "2026/11/22",
            "2026-11-22 13:05",
            "2026-11-22T23:59:59",
            "2026-11-21T16:00:00Z",
        ] {
            check("x/dt", text, json!(midnight));
        }
        check("x/tm", "2026-11-22", json!(midnight));
        check(
            "x/tm",
            "2026-11-22 13:05:09",
            json!(midnight + 13 * 3_600 + 5 * 60 + 9),
        );
        check(
            "x/tm",
            "2026-11-22T13:05:09Z",
            json!(midnight + 21 * 3_600 + 5 * 60 + 9),
        );
        check_json("x/tm", json!(midnight + 5), json!(midnight + 5));
        check_json("x/dt", json!(midnight + 5), json!(midnight));
        check_error(
            "x/dt",
            "2026-02-30",
            "Bad Request - invalid datetime param `x`=`2026-02-30`.",
        );
        check_error(
            "x/tm",
            "soon",
            "Bad Request - invalid datetime param `x`=`soon`.",
        );
        check_json_error(
            "x/tm",
            json!(1.5),
            "Bad Request - invalid datetime param `x`=`1.5`.",
        );
        check_json_error(
            "x/dt",
            json!(i64::MAX),
            "Bad Request - invalid datetime param `x`=`9223372036854775807`.",
        );
    }

    #[test]
    fn texts() {
        check("x", "a b", json!("a b"));
        check("x/s", "5", json!("5"));
        check_json("x", json!(5), json!("5"));
        check_json("x", json!([1, {"a": "b"}]), json!("[1,{\"a\":\"b\"}]"));
    }

    #[test]
    fn integer_lists() {
        check("x/i+", "1", json!([1]));
        check("x/i+", "3,1,2", json!([3, 1, 2]));
        check_json("x/i+", json!([3, "1"]), json!([3, 1]));
        check_json("x/i+", json!([]), json!([]));
        check_json("x/i+", json!(3), json!([3]));
        for (text, item) in [
            ("a", "a"),
            ("1,b,c", "b"),
            ("1,,2", ""),
            ("1,", ""),
            ("-1", "-1"),
            ("1, 2", " 2"),
            ("1.5", "1.5"),
        ] {
            check_error(
                "x/i+",
                text,
                &format!("Bad Request - int array param `x` contains `{item}`."),
            );
        }
        check_json_error(
            "x/i+",
            json!([1, null]),
            "Bad Request - int array param `x` contains `null`.",
        );
        let huge = "9".repeat(20);
        check_error(
            "x/i+",
            &huge,
            &format!("Bad Request - int array param `x` contains `{huge}`."),
        );
    }

    #[test]
    fn json_values() {
        check("x/js", "{\"a\":[1,2]}", json!({"a": [1, 2]}));
        check("x/js", " 0", json!(0));
        check_json("x/js", json!({"a": 1}), json!({"a": 1}));
        for text in ["{bad", "null", "{} {}", "a"] {
            check_error(
                "x/js",
                text,
                &format!("Bad Request - invalid json param `x`=`{text}`."),
            );
        }
        let deep = "[".repeat(100_000);
        check_error(
            "x/js",
            &deep,
            &format!("Bad Request - invalid json param `x`=`{deep}`."),
        );
    }

    #[test]
    fn missing() {
        let error = missing_any(&["id", "code"]);
        assert_eq!(
            (error.code, error.message.as_ref()),
            (1, "缺少参数`id or code`")
        );
        assert_eq!(error.detail, "Bad Request - require param id or code");
    }
}
