//! What a WebSocket message says (contract 2): a JSON object of which four members matter. Only reads.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::limits::JSON_VALUES_MAX;
use crate::proto::json;

/// The members of a message that mean something.
#[derive(Debug, Default)]
pub(super) struct Message<'m> {
    pub ac: Member<'m>,
    pub app: Member<'m>,
    pub user: Member<'m>,
    pub msg: Member<'m>,
}

/// A member's value. Small, and a text is borrowed where nothing in it is escaped: most messages are texts only.
#[derive(Debug, Default)]
pub(super) enum Member<'m> {
    /// Absent or null.
    #[default]
    Missing,
    Text(Cow<'m, str>),
    Other(Box<Value>),
}

/// A member's name.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Ac,
    App,
    User,
    Msg,
    #[serde(other)]
    Other,
}

impl<'m> Message<'m> {
    /// A JSON object's members that matter; an array has none; `None` for anything else.
    pub fn parse(text: &'m str) -> Option<Self> {
        // With arbitrary_precision a bare number visits as a map: only the bracket tells.
        if !text.trim_start().starts_with(['{', '['])
            || json::has_more_values(text.as_bytes(), JSON_VALUES_MAX)
        {
            return None;
        }
        let mut message = Message::default();
        let mut parser = serde_json::Deserializer::from_str(text);
        (&mut parser).deserialize_any(&mut message).ok()?;
        parser.end().ok()?;
        Some(message)
    }
}

/// Of several members with one name the last counts.
impl<'de> Visitor<'de> for &mut Message<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key()? {
            match name {
                Name::Ac => self.ac = map.next_value()?,
                Name::App => self.app = map.next_value()?,
                Name::User => self.user = map.next_value()?,
                Name::Msg => self.msg = map.next_value()?,
                Name::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Member<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'de>, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Member<'de>, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Member<'de>, E> {
        Ok(Member::Missing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Member<'de>, E> {
        Ok(Member::Other(Box::new(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Member<'de>, E> {
        Ok(Member::Other(Box::new(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Member<'de>, E> {
        Ok(Member::Other(Box::new(value.into())))
    }

    // With arbitrary_precision other numbers come this way too, digit by digit.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member<'de>, A::Error> {
        let value = Value::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Member::Other(Box::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Member<'de>, A::Error> {
        let value = Value::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(Member::Other(Box::new(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(Option<&str>, Option<&str>)>) {
        let told = |member| match member {
            Member::Missing => None,
            Member::Text(text) => Some(text.into_owned()),
            Member::Other(value) => Some(json::to_text(&value)),
        };
        let got = Message::parse(text).map(|message| (told(message.ac), told(message.msg)));
        assert_eq!(
            got,
            want.map(|(ac, msg)| (ac.map(str::to_owned), msg.map(str::to_owned))),
            "{text:?}"
        );
    }

    #[test]
    fn messages_are_objects_or_lists() {
        check(
            r#"{"ac":"push","msg":{"b":1,"a":2},"x":[1,{}]}"#,
            Some((Some("push"), Some(r#"{"b":1,"a":2}"#))),
        );
        check(r#" {"ac":"a","ac":"b"} "#, Some((Some("b"), None)));
        check(r#"{"msg":null}"#, Some((None, None)));
        check(
            r#"{"msg":12345678901234567890123}"#,
            Some((None, Some("12345678901234567890123"))),
        );
        check(
            r#"{"ac":true,"msg":[1,{"a":null}]}"#,
            Some((Some("true"), Some(r#"[1,{"a":null}]"#))),
        );
        check(
            r#"{"\u0061c":"p\u0075sh","msg":"a\nb","ms":"c"}"#,
            Some((Some("push"), Some("a\nb"))),
        );
        check(r#"{"msg":"a","msg":null}"#, Some((None, None)));
        check(r#"{"ac":7,"msg":-2}"#, Some((Some("7"), Some("-2"))));
        check(
            r#"{"ac":1.50,"msg":-1e9}"#,
            Some((Some("1.5"), Some("-1000000000"))),
        );
        check("[]", Some((None, None)));
        check(r#"[1,"a",{"ac":"push"}]"#, Some((None, None)));
        for bad in [
            "",
            "hello",
            "123",
            "-1.5",
            "\"s\"",
            "null",
            "true",
            "{",
            "{}x",
            "[1,]",
            "{\"ac\":}",
            "{'ac':1}",
            r#"{"msg":"\ud800"}"#,
            r#"{"msg":[1}"#,
        ] {
            check(bad, None);
        }
    }
}
