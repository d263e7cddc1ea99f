//! Forms by PHP's bracket rules: `a=1&b[id]=2&c[]=3`. One map of parameters, from a query string,
//! a form body or a JSON object. Never a type or a default ([`crate::call::param`]).
//! Brackets continue in [`builder`], JSON bodies in `members`.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};
use serde_json::{Map, Value};

use crate::proto::form::builder::Builder;

pub mod builder;
mod members;

/// One parameter's value as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    /// Text, decoded: of a form, or a string member of a JSON body.
    Text(Cow<'a, str>),
    /// What brackets built, or any other value of a JSON body.
    Json(Value),
}

impl Field<'_> {
    /// The text of a string, wherever it came from; `None` for numbers, lists and the like.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            Field::Json(Value::String(text)) => Some(text),
            Field::Json(_) => None,
        }
    }

    /// The same value, owning its text.
    pub fn into_owned(self) -> Field<'static> {
        match self {
            Field::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
            Field::Json(value) => Field::Json(value),
        }
    }

    /// As a JSON value.
    pub fn into_value(self) -> Value {
        match self {
            Field::Text(text) => Value::String(text.into_owned()),
            Field::Json(value) => value,
        }
    }
}

/// Parameters by name, in the order of their first appearance. The last of two equal keys wins, in the place of the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form<'a> {
    fields: Vec<(Cow<'a, str>, Field<'a>)>,
}

impl<'a> Form<'a> {
    /// Parses `application/x-www-form-urlencoded` text (bytes: a body may hold anything).
    /// Errors: none; what is no pair is left out. Source: contract 1, "Bodies".
    pub fn parse(text: &'a [u8]) -> Form<'a> {
        let mut builder = Builder::default();
        // Decided once for the whole text: the usual short form then costs no look at its parts.
        let plain = match memchr2(b'+', b'%', text) {
            None => std::str::from_utf8(text).ok(),
            Some(_) => None,
        };
        for (name, value) in pairs(text) {
            if builder.is_full() {
                break;
            }
            match plain {
                Some(text) => builder.push(Cow::Borrowed(&text[name]), Cow::Borrowed(&text[value])),
                None => builder.push(decode(&text[name]), decode(&text[value])),
            }
        }
        builder.finish()
    }

    /// Parses the text of one JSON object; its strings are borrowed where nothing is escaped.
    /// `None` for any other JSON value, text behind the object, and what is no JSON.
    pub fn parse_json(text: &'a [u8]) -> Option<Form<'a>> {
        members::parse(text)
    }

    /// The members of a JSON object.
    pub fn from_object(object: Map<String, Value>) -> Form<'static> {
        let field = |value| match value {
            Value::String(text) => Field::Text(Cow::Owned(text)),
            value => Field::Json(value),
        };
        Form {
            fields: object
                .into_iter()
                .map(|(name, value)| (Cow::Owned(name), field(value)))
                .collect(),
        }
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, field)| field)
    }

    /// Sets a parameter to text, in its place where it is there already.
    pub fn set(&mut self, name: &'static str, text: Cow<'a, str>) {
        match self.fields.iter_mut().find(|(n, _)| n == name) {
            Some((_, field)) => *field = Field::Text(text),
            None => self.fields.push((Cow::Borrowed(name), Field::Text(text))),
        }
    }

    /// Whether there is no parameter at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field<'a>)> {
        self.fields.iter().map(|(k, v)| (k.as_ref(), v))
    }

    /// Whether the names are 0..n-1 in order (so there is at least one), which PHP takes for a list.
    pub fn is_list(&self) -> bool {
        let numbered = |(at, (name, _)): (usize, &(Cow<'_, str>, _))| {
            builder::integer(name) == Some(at as u64)
        };
        !self.fields.is_empty() && self.fields.iter().enumerate().all(numbered)
    }

    /// The same parameters, owning their text.
    pub fn into_owned(self) -> Form<'static> {
        let owned = |(name, field): (Cow<'_, str>, Field<'_>)| {
            (Cow::Owned(name.into_owned()), field.into_owned())
        };
        Form {
            fields: self.fields.into_iter().map(owned).collect(),
        }
    }

    /// The parameters as PHP would see them: a list where the keys are 0..n-1 in order (also where
    /// there is none), else an object.
    pub fn into_value(self) -> Value {
        if self.is_empty() || self.is_list() {
            return Value::Array(
                self.fields
                    .into_iter()
                    .map(|(_, field)| field.into_value())
                    .collect(),
            );
        }
        Value::Object(
            self.fields
                .into_iter()
                .map(|(name, field)| (name.into_owned(), field.into_value()))
                .collect(),
        )
    }
}

/// Decodes `+` and percent escapes; a broken escape stays as it is, invalid UTF-8 becomes U+FFFD.
pub fn decode(text: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr2(b'+', b'%', text) else {
        return String::from_utf8_lossy(text);
    };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = behind;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    Cow::Owned(
        String::from_utf8(out)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    )
}

/// Where the name and the value of each pair stand; nothing between two `&` is no pair.
fn pairs(text: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while text.get(from) == Some(&b'&') {
            from += 1;
        }
        let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
        // Names are short: a loop is done before a vector search has begun.
        let name = rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b'&'))
            .unwrap_or(rest.len());
        let length = memchr(b'&', &rest[name..]).map_or(rest.len(), |value| name + value);
        let (start, end) = (from, from + length);
        from = end;
        Some((start..start + name, (start + name + 1).min(end)..end))
    })
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::limits::FORM_PAIRS_MAX;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        assert_eq!(
            Form::parse(text.as_bytes()).into_value(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        check("", json!([]));
        check("&&&", json!([]));
        check("=", json!([]));
        check("=1&&=2", json!([]));
        check("a", json!({"a": ""}));
        check("a=", json!({"a": ""}));
        check("a=1&b=2", json!({"a": "1", "b": "2"}));
        check("&&a=1&&b=2&&", json!({"a": "1", "b": "2"}));
        check("a=b=c", json!({"a": "b=c"}));
        check("a==", json!({"a": "="}));
        check("a=x+y%20z", json!({"a": "x y z"}));
        check("a%3Db=1", json!({"a=b": "1"}));
        check(
            "app=bench&user=*&msg=T:123;xxxx",
            json!({"app": "bench", "user": "*", "msg": "T:123;xxxx"}),
        );
        check("a.b=1&c d=2", json!({"a.b": "1", "c d": "2"}));
        check("消息=你好", json!({"消息": "你好"}));
        check("m=%E4%BD%A0%e5%a5%bd", json!({"m": "你好"}));
    }

    #[test]
    fn the_last_of_two_equal_keys_wins_in_the_place_of_the_first() {
        check("a=1&b=2&a=3", json!({"a": "3", "b": "2"}));
        let parsed = Form::parse(b"a=1&b=2&a=3");
        assert_eq!(
            parsed.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn numbered_names_make_a_list() {
        check("0=a&1=b", json!(["a", "b"]));
        check("1=a&0=b", json!({"1": "a", "0": "b"}));
        check("0=a&2=b", json!({"0": "a", "2": "b"}));
        check("00=a", json!({"00": "a"}));
        assert!(!Form::default().is_list());
    }

    #[track_caller]
    fn check_decode(text: &[u8], expected: &str) {
        assert_eq!(decode(text), expected);
    }

    #[test]
    fn escapes() {
        check_decode(b"", "");
        check_decode(b"%41%4a%4A", "AJJ");
        check_decode(b"%", "%");
        check_decode(b"%4", "%4");
        check_decode(b"100%", "100%");
        check_decode(b"%zz", "%zz");
        check_decode(b"%4z%41", "%4zA");
        check_decode(b"%%41", "%A");
        check_decode(b"%+1", "% 1");
        check_decode(b"%2541", "%41");
        check_decode(b"%00", "\0");
        check_decode(b"%ff", "\u{fffd}");
        check_decode(b"\xff", "\u{fffd}");
        check_decode(b"a\xe4\xbdb", "a\u{fffd}b");
        check_decode(b"%e4%bd", "\u{fffd}");
    }

    #[test]
    fn nothing_to_decode_borrows() {
        assert!(matches!(decode("a=b你".as_bytes()), Cow::Borrowed(_)));
        let parsed = Form::parse(b"x=%41&app=bench");
        assert!(matches!(
            parsed.get("app"),
            Some(Field::Text(Cow::Borrowed("bench")))
        ));
    }

    #[test]
    fn an_object_is_a_form_and_back() {
        let Value::Object(object) = json!({"s": "x", "n": 1, "z": null, "o": {}}) else {
            unreachable!()
        };
        let form = Form::from_object(object.clone());
        assert_eq!(form.get("s").and_then(Field::as_text), Some("x"));
        assert_eq!(form.get("n"), Some(&Field::Json(json!(1))));
        assert_eq!(form.get("nosuch"), None);
        assert_eq!(form.into_owned().into_value(), Value::Object(object));
    }

    #[test]
    fn pairs_beyond_the_bound_are_dropped_and_many_are_no_trap() {
        let distinct: String = (0..3 * FORM_PAIRS_MAX)
            .map(|n| format!("k{n}=1&"))
            .collect();
        assert_eq!(
            Form::parse(distinct.as_bytes()).iter().count(),
            FORM_PAIRS_MAX
        );
        let equal = "k=1&".repeat(500_000);
        assert_eq!(Form::parse(equal.as_bytes()).iter().count(), 1);
        let none = "&".repeat(2 << 20);
        assert!(Form::parse(none.as_bytes()).is_empty());
    }

    /// `value` as PHP's http_build_query writes it under `name`.
    fn build(out: &mut String, name: &str, value: &Value) {
        let mut each = |key: &str, value: &Value| build(out, &format!("{name}[{key}]"), value);
        match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(at, value)| each(&at.to_string(), value)),
            Value::Object(object) => object.iter().for_each(|(key, value)| each(key, value)),
            Value::String(text) => {
                out.push('&');
                out.extend(
                    name.bytes()
                        .chain([b'='])
                        .chain(text.bytes())
                        .enumerate()
                        .map(|(at, byte)| match byte {
                            b'=' if at == name.len() => "=".to_owned(),
                            b' ' => "+".to_owned(),
                            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
                            byte => format!("%{byte:02X}"),
                        }),
                );
            }
            other => unreachable!("{other}"),
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        // Brackets in a key, or a lone blank, do not survive http_build_query in PHP either.
        let key = "[a-cé%&=+.][a-z ]{0,3}| [a-z]{1,3}";
        let leaf = any::<String>().prop_map(Value::String);
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Array),
                prop::collection::vec((key, inner), 1..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_http_build_query_writes_is_read_back(value in values()) {
            let mut text = String::new();
            build(&mut text, "v", &value);
            prop_assert_eq!(Form::parse(text.as_bytes()).into_value(), json!({"v": value}));
        }

        #[test]
        fn any_bytes_parse(text in prop::collection::vec(prop_oneof![Just(b'['), Just(b']'), Just(b'&'), Just(b'='), Just(b'%'), any::<u8>()], 0..64)) {
            let form = Form::parse(&text);
            prop_assert_eq!(form.clone().into_owned().into_value(), form.into_value());
        }
    }
}
