//! Where a call's parameters come from: query, body, or both, query first (contract 1). Never what type they
//! should have ([`crate::call::param`]).

use std::borrow::Cow;

use memchr::memchr2;
use serde_json::Value;

use crate::call::error::CallError;
use crate::limits::JSON_VALUES_MAX;
use crate::proto::form::{Field, Form};
use crate::proto::json_list::JsonList;
use crate::proto::{json, multipart};

/// A call's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// Parameters by name; empty where there was no body.
    Map(Form<'a>),
    /// A non-empty JSON list (or a form whose keys are 0..n-1, each an object).
    List(JsonList<'a>),
}

impl<'a> Body<'a> {
    /// Reads a body by its Content-Type: `…/json…`, multipart, else a form where it is
    /// `application/x-www-form-urlencoded`; any other type holds no parameters. Errors: code 1 with
    /// `bad json-format body` where JSON is no object or list, `bad multipart body` where that is malformed.
    pub fn parse(content_type: &str, body: &'a [u8]) -> Result<Body<'a>, CallError> {
        let media_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Body::from_form(Form::parse(body)));
        }
        if content_type
            .as_bytes()
            .windows(5)
            .any(|part| part.eq_ignore_ascii_case(b"/json"))
        {
            return Body::from_json(body);
        }
        if media_type.eq_ignore_ascii_case("multipart/form-data") && !body.is_empty() {
            let form = multipart::boundary(content_type)
                .and_then(|boundary| multipart::parse(body, boundary));
            return form
                .map(Body::from_form)
                .ok_or_else(|| CallError::new(1, "bad multipart body"));
        }
        Ok(Body::Map(Form::default()))
    }

    /// A JSON object or list; an empty list is an empty map, for PHP cannot tell them apart.
    fn from_json(body: &'a [u8]) -> Result<Body<'a>, CallError> {
        let bad = || CallError::new(1, "bad json-format body");
        let is_list = body.trim_ascii_start().first() == Some(&b'[');
        if !is_list {
            if json::has_more_values(body, JSON_VALUES_MAX) {
                let detail = "bad json-format body: more than 50000 values; send a list of calls";
                return Err(CallError::new(1, detail));
            }
            return Form::parse_json(body).map(Body::Map).ok_or_else(bad);
        }
        let list = JsonList::parse(body).ok_or_else(bad)?;
        Ok(if list.is_empty() {
            Body::Map(Form::default())
        } else {
            Body::List(list)
        })
    }

    fn from_form(form: Form<'a>) -> Body<'a> {
        let is_object = |field: &Field<'_>| matches!(field, Field::Json(Value::Object(_)));
        if !form.is_list() || !form.iter().all(|(_, field)| is_object(field)) {
            return Body::Map(form);
        }
        match form.into_value() {
            Value::Array(list) => Body::List(JsonList::from_values(list)),
            _ => Body::Map(Form::default()),
        }
    }

    /// A parameter of the body.
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        match self {
            Body::Map(form) => form.get(name),
            Body::List(_) => None,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Body::Map(form) if form.is_empty())
    }
}

/// Which source a parameter is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Query string only.
    Query,
    /// Body only.
    Body,
    /// Both; a query value decides even when it is empty.
    Both,
}

/// The parameters of one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Params<'a> {
    /// The query string's.
    pub query: Form<'a>,
    /// The body's.
    pub body: Body<'a>,
    /// Whether top-level text gets `<` and `>` escaped (`conf_htmlEscape`; never over WebSocket).
    pub escape: bool,
}

impl<'a> Params<'a> {
    /// A parameter that counts: absent, JSON null and empty text are `None`. Text is escaped (where that is on);
    /// 0, false, `[]` and `{}` are values.
    pub fn get(&self, from: From, name: &str) -> Option<Cow<'_, Field<'a>>> {
        let field = self.find(from, name)?;
        match field.as_text().map(|text| self.escaped(text)) {
            Some(Cow::Owned(text)) => Some(Cow::Owned(Field::Text(Cow::Owned(text)))),
            _ => Some(Cow::Borrowed(field)),
        }
    }

    /// The same as text (a list or object as compact JSON), or the error that it is missing.
    pub fn text(&self, from: From, name: &str) -> Result<Cow<'_, str>, CallError> {
        match self.find(from, name) {
            None => Err(CallError::missing(name)),
            Some(Field::Text(text)) => Ok(self.escaped(text)),
            Some(Field::Json(Value::String(text))) => Ok(self.escaped(text)),
            Some(Field::Json(value)) => Ok(Cow::Owned(json::to_text(value))),
        }
    }

    /// A value that counts, before any escaping.
    pub(super) fn find(&self, from: From, name: &str) -> Option<&Field<'a>> {
        // A null, which only a batch can put into a query, hides nothing: it is as if it were not there.
        let set = |field: &&Field<'a>| !matches!(field, Field::Json(Value::Null));
        let query = || self.query.get(name).filter(set);
        let body = || self.body.get(name).filter(set);
        let field = match from {
            From::Query => query(),
            From::Body => body(),
            From::Both => query().or_else(body),
        };
        field.filter(|field| field.as_text() != Some(""))
    }

    fn escaped<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.escape {
            escape(text)
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Text with `<` and `>` as `&lt;` and `&gt;`; borrowed where there is none.
pub fn escape(text: &str) -> Cow<'_, str> {
    let Some(mut at) = memchr2(b'<', b'>', text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    loop {
        out.push_str(&rest[..at]);
        out.push_str(if rest.as_bytes()[at] == b'<' {
            "&lt;"
        } else {
            "&gt;"
        });
        rest = &rest[at + 1..];
        match memchr2(b'<', b'>', rest.as_bytes()) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    #[track_caller]
    fn check_map(content_type: &str, body: &str, expected: Value) {
        match Body::parse(content_type, body.as_bytes()) {
            Ok(Body::Map(form)) => assert_eq!(form.into_value(), expected, "{content_type} {body}"),
            other => panic!("{content_type} {body}: {other:?}"),
        }
    }

    #[track_caller]
    fn check_list(content_type: &str, body: &str, expected: Value) {
        match Body::parse(content_type, body.as_bytes()) {
            Ok(Body::List(mut list)) => {
                let items = std::iter::from_fn(|| list.poll_item()?.1.ok()).collect();
                assert_eq!(Value::Array(items), expected, "{content_type} {body}")
            }
            other => panic!("{content_type} {body}: {other:?}"),
        }
    }

    #[track_caller]
    fn check_error(content_type: &str, body: &[u8], detail: &'static str) {
        assert_eq!(
            Body::parse(content_type, body),
            Err(CallError::new(1, detail)),
            "{}",
            String::from_utf8_lossy(body)
        );
    }

    #[test]
    fn types() {
        check_map(FORM, "a=1", json!({"a": "1"}));
        check_map(
            "Application/X-WWW-Form-Urlencoded ; charset=UTF-8",
            "a=1",
            json!({"a": "1"}),
        );
        check_map(JSON, r#"{"a":1}"#, json!({"a": 1}));
        check_map("text/JSON;charset=utf-8", r#"{"a":1}"#, json!({"a": 1}));
        check_map("application/json-patch", r#"{"a":1}"#, json!({"a": 1}));
        check_map(
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--",
            json!({"a": "1"}),
        );
        check_map("text/plain", r#"{"a":1}"#, json!([]));
        check_map("", "a=1", json!([]));
        check_map("application/vnd.x+json", r#"{"a":1}"#, json!([]));
    }

    #[test]
    fn empty_bodies() {
        check_map(FORM, "", json!([]));
        check_map("", "", json!([]));
        check_map("multipart/form-data", "", json!([]));
        check_error(JSON, b"", "bad json-format body");
        assert!(Body::parse(JSON, b"{}").unwrap().is_empty());
        assert!(Body::parse(JSON, b" [ ] ").unwrap().is_empty());
        assert!(!Body::parse(JSON, b"[0]").unwrap().is_empty());
    }

    #[test]
    fn lists() {
        check_list(
            JSON,
            r#"[{"app":"a"},{"app":"b"}]"#,
            json!([{"app": "a"}, {"app": "b"}]),
        );
        check_list(JSON, "[1]", json!([1]));
        check_list(
            FORM,
            "0[app]=a&0[msg]=b&1[app]=c",
            json!([{"app": "a", "msg": "b"}, {"app": "c"}]),
        );
        check_map(FORM, "0[app]=a&1=c", json!([{"app": "a"}, "c"]));
        check_map(FORM, "0[]=a", json!([["a"]]));
        check_map(FORM, "1[app]=a", json!({"1": {"app": "a"}}));
        check_map(JSON, r#"{"0":{"app":"a"}}"#, json!([{"app": "a"}]));
    }

    #[test]
    fn bad_bodies() {
        for body in [
            "{bad",
            "3",
            "\"s\"",
            "null",
            "true",
            "[1",
            "[1]x",
            "{}]",
            "\u{feff}{}",
            "\u{feff}[]",
            "a=1",
        ] {
            check_error(JSON, body.as_bytes(), "bad json-format body");
        }
        check_error(JSON, b"[\"\xff\"]", "bad json-format body");
        check_error(JSON, "[".repeat(2 << 20).as_bytes(), "bad json-format body");
        // In a list each item is judged when it is read; elsewhere the depth is.
        let deep = [
            b"{\"a\":".to_vec(),
            b"[".repeat(200),
            b"]".repeat(200),
            b"}".to_vec(),
        ]
        .concat();
        check_error(JSON, &deep, "bad json-format body");
        // How serde_json passes numbers to itself must not make a number out of an object at the top.
        check_map(
            JSON,
            r#"{"$serde_json::private::Number":"1"}"#,
            json!({"$serde_json::private::Number": "1"}),
        );
        check_error("multipart/form-data", b"a=1", "bad multipart body");
        check_error(
            "multipart/form-data; boundary=b",
            b"--b",
            "bad multipart body",
        );
    }

    fn params(query: &'static str, body: &'static str) -> Params<'static> {
        let (query, body) = (
            Form::parse(query.as_bytes()),
            Body::parse(JSON, body.as_bytes()).unwrap(),
        );
        Params {
            query,
            body,
            escape: true,
        }
    }

    #[track_caller]
    fn check(query: &'static str, body: &'static str, from: From, expected: Option<&str>) {
        let params = params(query, body);
        let text = params.text(from, "p");
        assert_eq!(
            text,
            expected
                .map(Cow::Borrowed)
                .ok_or_else(|| CallError::missing("p")),
            "{query} {body} {from:?}"
        );
        assert_eq!(
            params.get(from, "p").is_some(),
            expected.is_some(),
            "{query} {body} {from:?}"
        );
    }

    #[test]
    fn sources() {
        check("p=q", r#"{"p":"b"}"#, From::Both, Some("q"));
        check("p=q", r#"{"p":"b"}"#, From::Query, Some("q"));
        check("p=q", r#"{"p":"b"}"#, From::Body, Some("b"));
        check("x=q", r#"{"p":"b"}"#, From::Both, Some("b"));
        check("x=q", r#"{"p":"b"}"#, From::Query, None);
        check("p=q", "{}", From::Body, None);
        check("p=", r#"{"p":"b"}"#, From::Both, None);
        check("p", r#"{"p":"b"}"#, From::Both, None);
        check("p=q", r#"[{"p":"b"}]"#, From::Body, None);
        check("p=q", r#"[{"p":"b"}]"#, From::Both, Some("q"));
    }

    #[test]
    fn what_is_missing() {
        check("", r#"{"p":null}"#, From::Both, None);
        check("", r#"{"p":""}"#, From::Both, None);
        check("", r#"{"p":0}"#, From::Both, Some("0"));
        check("", r#"{"p":false}"#, From::Both, Some("false"));
        check("", r#"{"p":[]}"#, From::Both, Some("[]"));
        check("", r#"{"p":{}}"#, From::Both, Some("{}"));
        check("", r#"{"p":" "}"#, From::Both, Some(" "));
        let mut null = params("", r#"{"p":"b"}"#);
        null.query = Form::parse_json(br#"{"p":null}"#).unwrap();
        assert_eq!(null.text(From::Both, "p").as_deref(), Ok("b"));
    }

    #[test]
    fn only_top_level_text_is_escaped() {
        check("p=<b>&", "{}", From::Both, Some("&lt;b&gt;"));
        check("", r#"{"p":"<b>&\"'"}"#, From::Both, Some("&lt;b&gt;&\"'"));
        check(
            "",
            r#"{"p":{"a":"<b>"}}"#,
            From::Both,
            Some(r#"{"a":"<b>"}"#),
        );
        check("", r#"{"p":["<b>"]}"#, From::Both, Some(r#"["<b>"]"#));
        check("p[a]=%3Cb%3E", "{}", From::Both, Some(r#"{"a":"<b>"}"#));
        let mut params = params("p=<b>", "{}");
        assert_eq!(
            params.get(From::Query, "p").as_deref(),
            Some(&Field::Text("&lt;b&gt;".into()))
        );
        params.escape = false;
        assert_eq!(params.text(From::Query, "p").as_deref(), Ok("<b>"));
        assert_eq!(
            params.get(From::Query, "p").as_deref(),
            Some(&Field::Text("<b>".into()))
        );
    }

    #[test]
    fn the_common_path_borrows() {
        let params = params("app=bench&user=*&msg=T:123;xxxx", r#"{"p":"x"}"#);
        for name in ["app", "user", "msg", "p"] {
            assert!(
                matches!(params.text(From::Both, name), Ok(Cow::Borrowed(_))),
                "{name}"
            );
            assert!(
                matches!(params.get(From::Both, name), Some(Cow::Borrowed(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn escapes() {
        for (text, expected) in [
            ("", ""),
            ("a&b", "a&b"),
            ("<", "&lt;"),
            (">你<", "&gt;你&lt;"),
            ("a<b>c", "a&lt;b&gt;c"),
            ("&lt;", "&lt;"),
        ] {
            assert_eq!(escape(text), expected, "{text}");
        }
    }
}
