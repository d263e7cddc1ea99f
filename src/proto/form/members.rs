//! The members of a JSON object as a form: strings borrowed, the rest as [`Value`]. Never a list
//! or a scalar, and no recursion of its own (serde_json stops at depth 128).

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::proto::form::builder::Entries;
use crate::proto::form::{Field, Form};

/// Parses one JSON object, with blanks around it at most.
pub(super) fn parse(text: &[u8]) -> Option<Form<'_>> {
    // A number would come as a map too (serde_json's arbitrary_precision), so the brace is looked at here.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let form = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok()?;
    Some(form)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Form<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form<'de>, A::Error> {
        let mut entries = Entries::default();
        while let Some(name) = map.next_key_seed(Name)? {
            entries.set(name, map.next_value_seed(Member)?);
        }
        Ok(Form {
            fields: entries.list,
        })
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Member;

impl<'de> DeserializeSeed<'de> for Member {
    type Value = Field<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Field<'de>, E> {
        Ok(Field::Json(Value::Bool(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Field<'de>, E> {
        Ok(Field::Json(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Field<'de>, E> {
        Ok(Field::Json(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Field<'de>, E> {
        Ok(Field::Json(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Field<'de>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(list)).map(Field::Json)
    }

    // Objects, and numbers beyond 64 bits or with a fraction: arbitrary_precision makes them a map of one text.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field<'de>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Field::Json)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let form = parse(text.as_bytes()).unwrap_or_else(|| panic!("refused: {text}"));
        let members: serde_json::Map<_, _> = form
            .iter()
            .map(|(k, v)| (k.to_owned(), v.clone().into_value()))
            .collect();
        assert_eq!(Value::Object(members), expected, "{text}");
    }

    #[track_caller]
    fn refuse(text: &[u8]) {
        assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn objects() {
        check("{}", json!({}));
        check(" \t\r\n{ } \n", json!({}));
        check(
            r#"{"app":"a","user":["u",1],"msg":{"id":1},"n":null,"t":true}"#,
            json!({"app": "a", "user": ["u", 1], "msg": {"id": 1}, "n": null, "t": true}),
        );
        check(r#"{"a":"\n\u4f60","\u0061":"b"}"#, json!({"a": "b"}));
        check(r#"{"a":1,"b":2,"a":3}"#, json!({"a": 3, "b": 2}));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let form = parse(br#"{"a":123456789012345678901234567890,"b":-5,"c":1.50,"d":18446744073709551615,"e":-0}"#).unwrap();
        let digits = |name| match form.get(name) {
            Some(Field::Json(Value::Number(number))) => number.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(digits),
            [
                "123456789012345678901234567890",
                "-5",
                "1.50",
                "18446744073709551615",
                "-0"
            ]
        );
    }

    #[test]
    fn plain_strings_borrow() {
        let form = parse(br#"{"app":"a","msg":"\n"}"#).unwrap();
        assert!(matches!(
            form.get("app"),
            Some(Field::Text(Cow::Borrowed("a")))
        ));
        assert!(matches!(form.get("msg"), Some(Field::Text(Cow::Owned(_)))));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            " ",
            "3",
            "\"s\"",
            "null",
            "[]",
            "[{}]",
            "{bad",
            "{\"a\":1",
            "{\"a\"}",
            "{\"a\":1}x",
            "{}{}",
            "{\"a\":01}",
            "{'a':1}",
            "{\"a\":1,}",
        ] {
            refuse(text.as_bytes());
        }
        refuse(b"\xef\xbb\xbf{}");
        refuse(b"{\"a\":\"\xff\"}");
        refuse(br#"{"a":"\ud800"}"#);
        refuse(
            &[
                b"{\"a\":".as_slice(),
                &b"[".repeat(200),
                &b"]".repeat(200),
                b"}",
            ]
            .concat(),
        );
        refuse("{\"a\":".repeat(1 << 20).as_bytes());
    }

    #[test]
    fn many_members_are_no_trap() {
        let text = format!(
            "{{{}\"k\":1}}",
            (0..200_000)
                .map(|n| format!("\"k{n}\":1,"))
                .collect::<String>()
        );
        assert_eq!(parse(text.as_bytes()).unwrap().iter().count(), 200_001);
    }

    proptest! {
        #[test]
        fn strings_come_back(members in prop::collection::hash_map(any::<String>(), any::<String>(), 0..30)) {
            let text = serde_json::to_vec(&members).unwrap();
            let form = parse(&text).unwrap();
            prop_assert_eq!(form.iter().count(), members.len());
            for (name, value) in &members {
                prop_assert_eq!(form.get(name).and_then(Field::as_text), Some(value.as_str()));
            }
        }
    }
}
