//! Shapes of an answer: `_raw`, `_jsonp`, `retfn`, `jdcloud` (contract 1). Never what is answered.

use serde_json::Value;

use crate::call::answer::{self, Answer, Data};
use crate::call::error::CallError;
use crate::call::source::Body;
use crate::call::xml;
use crate::limits::RENDERED_BYTES_PARSED_MAX;
use crate::proto::form::{Field, Form};
use crate::proto::json;

const TEXT: &str = "text/plain; charset=UTF-8";
const XML: &str = "application/xml; charset=UTF-8";

/// How an answer is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    style: Style,
    /// `_jsonp`: a function to call, or a variable to set where it ends in `=`.
    jsonp: Option<Box<str>>,
    /// `retfn` with a name that is none of ours: a plugin's, or nobody's.
    named: Option<Box<str>>,
}

/// What becomes of code and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    /// `[0,data]`
    #[default]
    List,
    /// `_raw=1`, `retfn=raw`: the data or the message alone.
    Raw,
    /// `_raw=2`: the data's values, joined by tabs.
    Tabs,
    /// `retfn=obj`
    Object,
    /// `retfn=xml`
    Xml,
}

impl Style {
    /// `_raw` goes before `retfn`.
    fn of(raw: Option<&str>, retfn: Option<&str>) -> Style {
        match (raw, retfn) {
            (Some("2"), _) => Style::Tabs,
            (Some(_), _) | (None, Some("raw")) => Style::Raw,
            (None, Some("obj")) => Style::Object,
            (None, Some("xml")) => Style::Xml,
            (None, _) => Style::List,
        }
    }
}

impl Shape {
    /// Reads the shape parameters of a query (`jdcloud=1` of query or body switches all off). `_raw` goes before
    /// `retfn`; empty, `0` and unknown values count as absent.
    pub fn new(query: &Form<'_>, body: Option<&Body<'_>>) -> Shape {
        let (mut raw, mut retfn, mut jsonp) = (None, None, None);
        for (name, field) in query.iter() {
            // Runs on every call: one byte rules out most parameters.
            match (name.as_bytes().first(), name) {
                (Some(b'_'), "_raw") => raw = on(field),
                (Some(b'_'), "_jsonp") => jsonp = on(field),
                (Some(b'r'), "retfn") => retfn = on(field),
                _ => {}
            }
        }
        let style = Style::of(raw, retfn);
        let named = retfn.filter(|_| style == Style::List);
        if style == Style::List && jsonp.is_none() && named.is_none() {
            return Shape::default();
        }
        if Shape::is_off(query, body) {
            return Shape::default();
        }
        Shape {
            style,
            jsonp: jsonp.map(Box::from),
            named: named.map(Box::from),
        }
    }

    /// Whether `jdcloud=1` of query or body switches all shapes off; the query goes first.
    pub fn is_off(query: &Form<'_>, body: Option<&Body<'_>>) -> bool {
        match query.get("jdcloud") {
            Some(field) => is_on(field),
            None => body.and_then(|body| body.get("jdcloud")).is_some_and(is_on),
        }
    }

    /// Whether nothing was asked for.
    pub fn is_plain(&self) -> bool {
        *self == Shape::default()
    }

    /// The one that `retfn=NAME` asks for: ours, or one that a plugin writes.
    pub fn named(name: &str) -> Shape {
        let style = Style::of(None, Some(name));
        Shape {
            style,
            jsonp: None,
            named: (style == Style::List).then(|| name.into()),
        }
    }

    /// Takes out the name of a shape that is none of ours.
    pub fn take_named(&mut self) -> Option<Box<str>> {
        self.named.take()
    }

    /// What stands before and behind data that is JSON already, where it goes into the body as it is; `None`
    /// where this shape needs its parts.
    pub fn around_json(&self) -> Option<(&'static [u8], &'static [u8])> {
        match (&self.jsonp, self.style) {
            (Some(_), _) | (None, Style::Tabs | Style::Xml) => None,
            (None, Style::List) => Some((b"[0,", b"]\n")),
            (None, Style::Raw) => Some((b"", b"\n")),
            (None, Style::Object) => Some((b"{\"code\":0,\"data\":", b"}\n")),
        }
    }

    /// Appends the whole body of the answer, newline included, and gives its Content-Type.
    pub fn write(&self, out: &mut Vec<u8>, answer: Answer) -> &'static str {
        let Some(jsonp) = &self.jsonp else {
            let content_type = self.write_styled(out, answer);
            out.push(b'\n');
            return content_type;
        };
        let call = !jsonp.ends_with('=');
        out.extend_from_slice(jsonp.as_bytes());
        out.extend_from_slice(if call { b"(" } else { b"" });
        self.write_styled(out, answer);
        out.extend_from_slice(if call { b");\n" } else { b";\n" });
        // Never XML: `_jsonp` is the peer's own text, and a browser would run a script in it.
        TEXT
    }

    fn write_styled(&self, out: &mut Vec<u8>, answer: Answer) -> &'static str {
        let answer = match answer {
            Ok(Data::Rendered(text)) if self.is_too_long(&text) => Err(CallError::new(
                4,
                "answer is too long for this shape: ask for JSON",
            )),
            answer => answer,
        };
        match self.style {
            Style::List => answer::write(out, &answer),
            Style::Raw => write_raw(out, &answer),
            Style::Tabs => write_tabs(out, &answer),
            Style::Object => write_object(out, &answer),
            Style::Xml => {
                xml::write(out, answer);
                return XML;
            }
        }
        TEXT
    }

    /// Whether it would hold the reactor up to take a rendered answer apart.
    fn is_too_long(&self, text: &str) -> bool {
        matches!(self.style, Style::Tabs | Style::Xml) && text.len() > RENDERED_BYTES_PARSED_MAX
    }
}

/// The text of a shape parameter that is on; what brackets built is none.
fn on<'f>(field: &'f Field<'_>) -> Option<&'f str> {
    match field {
        Field::Text(text) if !text.is_empty() && text != "0" => Some(text),
        _ => None,
    }
}

/// Whether `jdcloud` is on: as in [`on`], or a JSON value that is not false, 0 or empty.
fn is_on(field: &Field<'_>) -> bool {
    match field {
        Field::Text(_) => on(field).is_some(),
        Field::Json(value) => match value {
            Value::Null => false,
            Value::Bool(yes) => *yes,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty() && text != "0",
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
        },
    }
}

fn write_raw(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Ok(Data::Json(value)) => write_bare(out, value),
        Ok(data) => answer::write_data(out, data),
        Err(error) => out.extend_from_slice(error.message.as_bytes()),
    }
}

fn write_tabs(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Ok(Data::Json(Value::Array(items))) => join_tabs(out, items.iter()),
        Ok(Data::Json(Value::Object(members))) => join_tabs(out, members.values()),
        Ok(Data::Rendered(text)) => match serde_json::from_str(text) {
            Ok(Value::Array(items)) => join_tabs(out, items.iter()),
            Ok(Value::Object(members)) => join_tabs(out, members.values()),
            _ => write_raw(out, answer),
        },
        _ => write_raw(out, answer),
    }
}

fn join_tabs<'v>(out: &mut Vec<u8>, values: impl Iterator<Item = &'v Value>) {
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push(b'\t');
        }
        // An empty cell, so that `cut -f` finds the columns.
        if !value.is_null() {
            write_bare(out, value);
        }
    }
}

/// A value for a shell script: text without quotes, true as `1`, false as nothing (as PHP prints them), else JSON.
fn write_bare(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bool(true) => out.push(b'1'),
        Value::Bool(false) => {}
        value => json::write(out, value),
    }
}

fn write_object(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Ok(data) => {
            out.extend_from_slice(b"{\"code\":0,\"data\":");
            answer::write_data(out, data);
        }
        Err(error) => {
            out.extend_from_slice(b"{\"code\":");
            answer::write_integer(out, error.code.into());
            out.extend_from_slice(b",\"message\":");
            json::write_str(out, &error.message);
            out.extend_from_slice(b",\"debug\":");
            json::write_str(out, &error.detail);
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::error::CallError;
    use crate::proto::json_list::JsonList;
    use serde_json::json;

    fn unknown() -> Answer {
        Err(CallError::with_message(
            1,
            "接口不支持",
            "Bad request - unknown ac: nosuch",
        ))
    }

    #[test]
    fn rendered_answers_look_like_others() {
        let text = r#"[{"id":1,"b":"x"},"y"]"#;
        let parsed: Value = serde_json::from_str(text).unwrap();
        for query in [
            "",
            "_raw=1",
            "_raw=2",
            "retfn=obj",
            "retfn=xml",
            "_jsonp=f",
            "retfn=raw",
        ] {
            let shape = Shape::new(&Form::parse(query.as_bytes()), None);
            let (mut rendered, mut json) = (Vec::new(), Vec::new());
            shape.write(&mut rendered, Ok(Data::Rendered(text.into())));
            shape.write(&mut json, data(parsed.clone()));
            assert_eq!(String::from_utf8(rendered), String::from_utf8(json.clone()));
            if let Some((before, behind)) = shape.around_json() {
                assert_eq!([before, text.as_bytes(), behind].concat(), json, "{query}");
            }
        }
        let long = format!("[{}1]", "1,".repeat(RENDERED_BYTES_PARSED_MAX / 2));
        let mut out = Vec::new();
        Shape::new(&Form::parse(b"_raw=2"), None).write(&mut out, Ok(Data::Rendered(long.into())));
        assert!(out.len() < 100);
    }

    fn data(value: Value) -> Answer {
        Ok(Data::Json(value))
    }

    #[track_caller]
    fn check_with(
        query: &str,
        body: Option<&Body<'_>>,
        answer: Answer,
        expect: &str,
    ) -> &'static str {
        let shape = Shape::new(&Form::parse(query.as_bytes()), body);
        let mut out = Vec::new();
        let content_type = shape.write(&mut out, answer);
        assert_eq!(String::from_utf8(out).unwrap(), expect, "{query}");
        content_type
    }

    #[track_caller]
    fn check(query: &str, answer: Answer, expect: &str) {
        assert_eq!(
            check_with(query, None, answer, expect),
            "text/plain; charset=UTF-8"
        );
    }

    #[test]
    fn plain() {
        for query in [
            "",
            "app=r",
            "_raw=",
            "_raw=0",
            "retfn=",
            "retfn=nosuch",
            "_jsonp=",
            "_jsonp=0",
            "_rawx=1",
            "raw=1",
        ] {
            check(query, data(json!([])), "[0,[]]\n");
            check(
                query,
                unknown(),
                "[1,\"接口不支持\",\"Bad request - unknown ac: nosuch\"]\n",
            );
        }
    }

    #[test]
    fn raw() {
        for query in [
            "app=r&_raw=1",
            "_raw=yes",
            "retfn=raw",
            "retfn=raw&_raw=0",
            "_raw=1&retfn=obj",
            "retfn=xml&_raw=1",
        ] {
            check(query, data(json!([])), "[]\n");
            check(query, Ok(Data::Count(12)), "12\n");
            check(query, Ok(Data::Null), "null\n");
            check(query, data(json!(null)), "null\n");
            check(query, data(json!("a\"b\n")), "a\"b\n\n");
            check(query, data(json!(true)), "1\n");
            check(query, data(json!(false)), "\n");
            check(query, data(json!({"a": "b"})), "{\"a\":\"b\"}\n");
            check(query, unknown(), "接口不支持\n");
        }
    }

    #[test]
    fn tabs() {
        for query in ["_raw=2", "_raw=2&retfn=obj"] {
            check(query, data(json!(["u1", "u2"])), "u1\tu2\n");
            check(
                query,
                data(json!({"status": "CR", "n": null, "amount": 1.5, "l": [1, "x"]})),
                "CR\t\t1.5\t[1,\"x\"]\n",
            );
            check(query, data(json!([])), "\n");
            check(query, data(json!("a")), "a\n");
            check(query, Ok(Data::Count(3)), "3\n");
            check(query, Ok(Data::Null), "null\n");
            check(query, unknown(), "接口不支持\n");
        }
    }

    #[test]
    fn jsonp() {
        check("app=r&_jsonp=cb", data(json!([])), "cb([0,[]]);\n");
        check("_jsonp=v%3d", data(json!([])), "v=[0,[]];\n");
        check("_jsonp=cb&_raw=1", data(json!([])), "cb([]);\n");
        check("_jsonp=cb&_raw=1", unknown(), "cb(接口不支持);\n");
        check(
            "_jsonp=cb",
            unknown(),
            "cb([1,\"接口不支持\",\"Bad request - unknown ac: nosuch\"]);\n",
        );
        check(
            "_jsonp=cb&retfn=obj",
            Ok(Data::Null),
            "cb({\"code\":0,\"data\":null});\n",
        );
        check(
            "_jsonp=cb&retfn=xml",
            Ok(Data::Null),
            "cb(<ret>\n <code>0</code>\n</ret>\n);\n",
        );
    }

    #[test]
    fn objects() {
        check("retfn=obj", data(json!([])), "{\"code\":0,\"data\":[]}\n");
        check("retfn=obj", Ok(Data::Count(7)), "{\"code\":0,\"data\":7}\n");
        check(
            "retfn=obj",
            unknown(),
            "{\"code\":1,\"message\":\"接口不支持\",\"debug\":\"Bad request - unknown ac: nosuch\"}\n",
        );
    }

    #[test]
    fn names_of_ours_and_of_others() {
        for retfn in ["obj", "xml", "raw", "mine"] {
            let query = format!("retfn={retfn}");
            let asked = Shape::new(&Form::parse(query.as_bytes()), None);
            assert_eq!(Shape::named(retfn), asked);
        }
    }

    #[test]
    fn xml_ends_with_an_empty_line() {
        let content_type = check_with(
            "retfn=xml",
            None,
            Ok(Data::Count(0)),
            "<ret>\n <code>0</code>\n <data>0</data>\n</ret>\n\n",
        );
        assert_eq!(content_type, "application/xml; charset=UTF-8");
    }

    #[test]
    fn jdcloud_switches_off() {
        for query in [
            "_raw=1",
            "retfn=obj",
            "retfn=xml",
            "_jsonp=f",
            "_raw=2&_jsonp=f&retfn=raw",
        ] {
            check(&format!("{query}&jdcloud=1"), Ok(Data::Count(0)), "[0,0]\n");
            for off in [json!(1), json!(true), json!("1"), json!("x")] {
                let Value::Object(body) = json!({ "jdcloud": off }) else {
                    unreachable!()
                };
                check_with(
                    query,
                    Some(&Body::Map(Form::from_object(body))),
                    Ok(Data::Count(0)),
                    "[0,0]\n",
                );
            }
        }
        for off in [
            json!(0),
            json!(0.0),
            json!(false),
            json!(null),
            json!(""),
            json!("0"),
        ] {
            let Value::Object(body) = json!({ "jdcloud": off }) else {
                unreachable!()
            };
            check_with(
                "_raw=1",
                Some(&Body::Map(Form::from_object(body))),
                Ok(Data::Count(0)),
                "0\n",
            );
        }
        check_with(
            "_raw=1",
            Some(&Body::List(JsonList::from_values(vec![json!(1)]))),
            Ok(Data::Count(0)),
            "0\n",
        );
        // A query value decides even when it is empty.
        let Value::Object(body) = json!({ "jdcloud": 1 }) else {
            unreachable!()
        };
        check_with(
            "_raw=1&jdcloud=",
            Some(&Body::Map(Form::from_object(body))),
            Ok(Data::Count(0)),
            "0\n",
        );
    }
}
