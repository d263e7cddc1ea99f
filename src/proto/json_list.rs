//! A JSON list that is read item by item: a list of calls may be megabytes long, and no turn
//! should parse it whole. Syntax is checked when it is made; values are built one at a time.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::limits::JSON_VALUES_MAX;
use crate::proto::json;

/// The items of a list that are still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonList<'a> {
    text: Cow<'a, str>,
    at: usize,
    count: usize,
}

/// An item nested too deeply, or of too many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadItem;

impl<'a> JsonList<'a> {
    /// Checks the syntax of a whole list. `None` when it is no list or no JSON.
    pub fn parse(text: &'a [u8]) -> Option<JsonList<'a>> {
        let text = std::str::from_utf8(text).ok()?;
        // A number would be read as a map (serde_json's arbitrary_precision): the bracket tells.
        let at = text
            .find('[')
            .filter(|&at| text[..at].trim_ascii().is_empty())?
            + 1;
        let mut parser = serde_json::Deserializer::from_str(text);
        let count = parser.deserialize_seq(Counter).ok()?;
        parser.end().ok()?;
        Some(JsonList {
            text: Cow::Borrowed(text),
            at,
            count,
        })
    }

    /// The same of values that are there already.
    pub fn from_values(values: Vec<Value>) -> JsonList<'static> {
        let count = values.len();
        let text = json::to_text(&Value::Array(values));
        JsonList {
            text: Cow::Owned(text),
            at: 1,
            count,
        }
    }

    /// Whether the text of the list holds `part` anywhere.
    pub fn mentions(&self, part: &str) -> bool {
        memchr::memmem::find(self.text.as_bytes(), part.as_bytes()).is_some()
    }

    /// How many items are left.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no item is left.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes the next item; also how many bytes it was long.
    pub fn poll_item(&mut self) -> Option<(usize, Result<Value, BadItem>)> {
        let rest = self.text.get(self.at..)?.trim_start_matches(is_between);
        let begin = self.text.len() - rest.len();
        let mut items = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let raw = items.next()?.ok()?;
        self.at = begin + items.byte_offset();
        self.count = self.count.saturating_sub(1);
        let text = raw.get();
        let value = match json::has_more_values(text.as_bytes(), JSON_VALUES_MAX) {
            true => Err(BadItem),
            false => serde_json::from_str(text).map_err(|_| BadItem),
        };
        Some((text.len(), value))
    }

    /// All that are left, built at once. `None` where that is more than [`JSON_VALUES_MAX`] values, or too deep.
    pub fn into_values(mut self) -> Option<Vec<Value>> {
        if json::has_more_values(self.text.as_bytes(), JSON_VALUES_MAX) {
            return None;
        }
        std::iter::from_fn(|| self.poll_item())
            .map(|(_, item)| item.ok())
            .collect()
    }

    /// The same items, owning their text.
    pub fn into_owned(self) -> JsonList<'static> {
        JsonList {
            text: Cow::Owned(self.text.into_owned()),
            at: self.at,
            count: self.count,
        }
    }
}

fn is_between(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Value) {
        let mut list =
            JsonList::parse(text.as_bytes()).unwrap_or_else(|| panic!("refused: {text}"));
        let count = list.len();
        let mut got = Vec::new();
        while let Some((_, item)) = list.poll_item() {
            got.push(item.expect("a good item"));
        }
        assert_eq!(
            (count, Value::Array(got), list.len()),
            (want.as_array().map_or(0, Vec::len), want, 0),
            "{text}"
        );
    }

    #[test]
    fn items_come_one_by_one() {
        check("[]", json!([]));
        check(" \n[ ] ", json!([]));
        check("[1]", json!([1]));
        check(
            "[1,-2.5 , \"a,]\" ,{\"b\":[1,2]},[[]],null,true]",
            json!([1, -2.5, "a,]", {"b": [1, 2]}, [[]], null, true]),
        );
        let values = vec![json!({"x": "中"}), json!([])];
        assert_eq!(
            JsonList::from_values(values).poll_item(),
            Some((11, Ok(json!({"x": "中"}))))
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "",
            "1",
            "{}",
            "\"[]\"",
            "[1",
            "[1,]",
            "[,1]",
            "[1] x",
            "[nul]",
            "[1 2]",
            "\u{feff}[]",
        ] {
            assert_eq!(JsonList::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(JsonList::parse(b"[\"\xff\"]"), None);
    }

    #[test]
    fn an_item_too_deep_or_too_large_is_told_apart() {
        let text = format!("[1,{}1{},2]", "[".repeat(200), "]".repeat(200));
        let mut list = JsonList::parse(text.as_bytes()).expect("the syntax is right");
        assert_eq!(list.poll_item().map(|(_, item)| item), Some(Ok(json!(1))));
        assert_eq!(list.poll_item().map(|(_, item)| item), Some(Err(BadItem)));
        assert_eq!(list.poll_item().map(|(_, item)| item), Some(Ok(json!(2))));
        let text = format!("[[{}0]]", "0,".repeat(JSON_VALUES_MAX));
        let mut list = JsonList::parse(text.as_bytes()).expect("the syntax is right");
        assert_eq!(list.poll_item().map(|(_, item)| item), Some(Err(BadItem)));
    }
}
