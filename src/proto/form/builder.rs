//! A form while its pairs come in: the tree that brackets describe, with PHP's integer keys.
//! Every step costs the length of its name, whatever came before. Never decodes
//! ([`super::decode`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use memchr::memchr;
use serde_json::Value;

use crate::limits::{FORM_DEPTH_MAX, FORM_PAIRS_MAX, FORM_TABLES_MAX};
use crate::proto::form::{Field, Form};

/// Up to so many names a scan is faster than a hash.
const SCANNED_MAX: usize = 16;

/// Pairs in, a [`Form`] out.
#[derive(Default)]
pub struct Builder<'a> {
    fields: Entries<'a, Field<'a>>,
    /// The table a field's brackets build, by the field's place; may be shorter than `fields`.
    roots: Vec<Option<usize>>,
    tables: Vec<Table<'a>>,
    pairs: usize,
}

impl<'a> Builder<'a> {
    /// Whether further pairs would be dropped.
    pub fn is_full(&self) -> bool {
        self.pairs == FORM_PAIRS_MAX
    }

    /// Adds one decoded pair by PHP's rules: `a[x]` is a member of `a`, `a[]` the integer key after the
    /// largest; text behind the last `]` is ignored; where the first `[` is never closed it counts
    /// as `_`. A pair without a name, too deep, or beyond a bound is dropped.
    pub fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if self.is_full() {
            return;
        }
        self.pairs += 1;
        let Some(open) = name.bytes().position(|byte| byte == b'[') else {
            return self.set(name, value);
        };
        let depth = Keys {
            name: &name,
            at: open,
        }
        .take(FORM_DEPTH_MAX + 1)
        .count();
        if open == 0 || depth > FORM_DEPTH_MAX || self.tables.len() + depth > FORM_TABLES_MAX {
            return;
        }
        if depth == 0 {
            return self.set(Cow::Owned(name.replace('[', "_")), value);
        }
        let mut table = self.root(part(&name, 0..open));
        let keys = Keys {
            name: &name,
            at: open,
        };
        for (level, key) in keys.enumerate() {
            let fresh = self.tables.len();
            let key = (!key.is_empty()).then(|| part(&name, key));
            let Some(slot) = self.tables[table].slot(key) else {
                return;
            };
            if level + 1 == depth {
                *slot = Slot::Text(value);
                return;
            }
            table = match *slot {
                Slot::Table(table) => table,
                Slot::Text(_) => {
                    *slot = Slot::Table(fresh);
                    self.tables.push(Table::default());
                    fresh
                }
            };
        }
    }

    /// The form.
    pub fn finish(mut self) -> Form<'a> {
        for (at, root) in self.roots.iter().enumerate() {
            if let Some(table) = root {
                self.fields.list[at].1 = Field::Json(value(&mut self.tables, *table));
            }
        }
        Form {
            fields: self.fields.list,
        }
    }

    /// Gives `name` a text, in the place it has.
    fn set(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if name.is_empty() {
            return;
        }
        let at = self.fields.set(name, Field::Text(value));
        if let Some(root) = self.roots.get_mut(at) {
            *root = None;
        }
    }

    /// The table of the field `name`, which takes the place of a text.
    fn root(&mut self, name: Cow<'a, str>) -> usize {
        let at = match self.fields.place(&name) {
            Some(at) => at,
            None => self.fields.append(name, Field::Json(Value::Null)),
        };
        if self.roots.len() <= at {
            self.roots.resize(at + 1, None);
        }
        *self.roots[at].get_or_insert_with(|| {
            self.tables.push(Table::default());
            self.tables.len() - 1
        })
    }
}

/// Whether PHP takes a key for an integer, and which: decimal, no sign, no leading zero, within i64.
/// Negative ones need no telling apart: they neither make a list nor count for the next key (PHP 8.2).
pub(super) fn integer(key: &str) -> Option<u64> {
    let canonical = match key.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    key.parse().ok().filter(|number| *number <= i64::MAX as u64)
}

/// Named items in order, found by name without a scan once there are many.
pub(super) struct Entries<'a, T> {
    pub(super) list: Vec<(Cow<'a, str>, T)>,
    index: Option<HashMap<Cow<'a, str>, usize>>,
}

impl<T> Default for Entries<'_, T> {
    fn default() -> Self {
        Entries {
            list: Vec::new(),
            index: None,
        }
    }
}

impl<'a, T> Entries<'a, T> {
    /// Where `name` stands.
    fn place(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.list.iter().position(|(n, _)| n == name),
        }
    }

    /// Adds a name that is not there yet and gives its place.
    fn append(&mut self, name: Cow<'a, str>, item: T) -> usize {
        let at = self.list.len();
        match &mut self.index {
            Some(index) => {
                index.insert(name.clone(), at);
            }
            None if at == SCANNED_MAX => {
                let names = self.list.iter().map(|(name, _)| name).chain([&name]);
                self.index = Some(names.cloned().zip(0..).collect());
            }
            None => {}
        }
        self.list.push((name, item));
        at
    }

    /// Gives `name` an item, in the place it has, and tells which.
    pub(super) fn set(&mut self, name: Cow<'a, str>, item: T) -> usize {
        match self.place(&name) {
            Some(at) => {
                self.list[at].1 = item;
                at
            }
            None => self.append(name, item),
        }
    }
}

/// What stands at a key: text, or the number of a table.
enum Slot<'a> {
    Text(Cow<'a, str>),
    Table(usize),
}

/// What brackets build: a list as long as the keys are 0..n-1 in order. No later key can make up
/// for one out of order, so an object never turns back.
enum Table<'a> {
    List(Vec<Slot<'a>>),
    Object {
        entries: Entries<'a, Slot<'a>>,
        /// The key of the next `[]`.
        next: u64,
    },
}

impl Default for Table<'_> {
    fn default() -> Self {
        Table::List(Vec::new())
    }
}

impl<'a> Table<'a> {
    /// The slot of `key`, or of the next integer key; made, with empty text, if there is none.
    /// `None` when the integers are used up.
    fn slot(&mut self, key: Option<Cow<'a, str>>) -> Option<&mut Slot<'a>> {
        let empty = Slot::Text(Cow::Borrowed(""));
        if let Table::List(list) = self {
            let at = key.as_deref().map_or(Some(list.len() as u64), integer);
            if at.is_none_or(|at| at > list.len() as u64) {
                self.turn_to_object();
            }
        }
        match self {
            Table::List(list) => {
                let at = key
                    .as_deref()
                    .and_then(integer)
                    .map_or(list.len(), |at| at as usize);
                if at == list.len() {
                    list.push(empty);
                }
                list.get_mut(at)
            }
            Table::Object { entries, next } => {
                let key = match key {
                    Some(key) => key,
                    None if *next > i64::MAX as u64 => return None,
                    None => Cow::Owned(next.to_string()),
                };
                let at = match entries.place(&key) {
                    Some(at) => at,
                    None => {
                        *next = integer(&key).map_or(*next, |number| (*next).max(number + 1));
                        entries.append(key, empty)
                    }
                };
                entries.list.get_mut(at).map(|(_, slot)| slot)
            }
        }
    }

    fn turn_to_object(&mut self) {
        let Table::List(list) = std::mem::take(self) else {
            return;
        };
        let next = list.len() as u64;
        let mut entries = Entries::default();
        for (at, slot) in list.into_iter().enumerate() {
            entries.append(Cow::Owned(at.to_string()), slot);
        }
        *self = Table::Object { entries, next };
    }
}

/// The bracketed keys of a name from its first `[` on, as far as they are closed; `[]` is an empty range.
struct Keys<'n> {
    name: &'n str,
    at: usize,
}

impl Iterator for Keys<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let name = self.name.as_bytes();
        if name.get(self.at) != Some(&b'[') {
            return None;
        }
        let start = self.at + 1;
        // PHP skips one blank before it looks for the `]`, so `[ ]` is `[]`; in a key it stays.
        let from = start + usize::from(name.get(start).is_some_and(u8::is_ascii_whitespace));
        let end = from + memchr(b']', &name[from..])?;
        self.at = end + 1;
        Some(if end == from {
            start..start
        } else {
            start..end
        })
    }
}

/// A piece of a name, borrowed where the name is.
fn part<'a>(name: &Cow<'a, str>, range: Range<usize>) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(&name[range]),
        Cow::Owned(name) => Cow::Owned(name[range].to_owned()),
    }
}

/// Takes a table out as a value; its depth is bounded by [`FORM_DEPTH_MAX`].
fn value(tables: &mut [Table<'_>], table: usize) -> Value {
    let taken = std::mem::take(&mut tables[table]);
    let mut item = |slot| match slot {
        Slot::Text(text) => Value::String(text.into_owned()),
        Slot::Table(table) => value(tables, table),
    };
    match taken {
        Table::List(list) => Value::Array(list.into_iter().map(item).collect()),
        Table::Object { entries, .. } => Value::Object(
            entries
                .list
                .into_iter()
                .map(|(name, slot)| (name.into_owned(), item(slot)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let form = Form::parse(text.as_bytes());
        // By text too: the order of members is part of the answer.
        assert_eq!(
            form.clone().into_value().to_string(),
            expected.to_string(),
            "{text}"
        );
        assert_eq!(form.into_value(), expected, "{text}");
    }

    #[test]
    fn brackets() {
        check(
            "msg[id]=1&msg[text]=hi",
            json!({"msg": {"id": "1", "text": "hi"}}),
        );
        check(
            "msg%5Bid%5D=1&msg%5Btext%5D=hi",
            json!({"msg": {"id": "1", "text": "hi"}}),
        );
        check("a[]=x&a[]=y", json!({"a": ["x", "y"]}));
        check("a[b][]=x&a[b][]=y", json!({"a": {"b": ["x", "y"]}}));
        check("a[0]=x&a[1]=y", json!({"a": ["x", "y"]}));
        check("a[0]=x&a[0]=y", json!({"a": ["y"]}));
        check("a[1]=x&a[0]=y", json!({"a": {"1": "x", "0": "y"}}));
        check("a[0]=x&a[2]=y", json!({"a": {"0": "x", "2": "y"}}));
        check("a[][x]=1&a[][x]=2", json!({"a": [{"x": "1"}, {"x": "2"}]}));
        check("a[0][x]=1&a[0][y]=2", json!({"a": [{"x": "1", "y": "2"}]}));
        check("a[][]=1&a[0][]=2", json!({"a": [["1", "2"]]}));
        check(
            "0[app]=a&0[msg]=b&1[app]=c",
            json!([{"app": "a", "msg": "b"}, {"app": "c"}]),
        );
        check("a[你]=1", json!({"a": {"你": "1"}}));
    }

    #[test]
    fn the_next_integer_key_follows_the_largest() {
        check(
            "msg[a][b]=1&msg[a][]=2&msg[c]=3",
            json!({"msg": {"a": {"b": "1", "0": "2"}, "c": "3"}}),
        );
        check(
            "a[5]=x&a[]=y&a[2]=z&a[]=w",
            json!({"a": {"5": "x", "6": "y", "2": "z", "7": "w"}}),
        );
        check(
            "a[]=x&a[k]=y&a[]=z",
            json!({"a": {"0": "x", "k": "y", "1": "z"}}),
        );
        check("a[-5]=x&a[]=y", json!({"a": {"-5": "x", "0": "y"}}));
        check("a[05]=x&a[]=y", json!({"a": {"05": "x", "0": "y"}}));
        check(
            "a[9223372036854775806]=x&a[]=y&a[]=z",
            json!({"a": {"9223372036854775806": "x", "9223372036854775807": "y"}}),
        );
        check(
            "a[9223372036854775808]=x&a[]=y",
            json!({"a": {"9223372036854775808": "x", "0": "y"}}),
        );
        check(
            "a[99999999999999999999999]=x&a[]=y",
            json!({"a": {"99999999999999999999999": "x", "0": "y"}}),
        );
        check(
            "a[9223372036854775807]=x&a[][b]=y",
            json!({"a": {"9223372036854775807": "x"}}),
        );
    }

    #[test]
    fn text_and_brackets_replace_each_other_in_place() {
        check("a=1&b=2&a[x]=3", json!({"a": {"x": "3"}, "b": "2"}));
        check("a[x]=1&b=2&a=3", json!({"a": "3", "b": "2"}));
        check("a[x]=1&a=2&a[y]=3", json!({"a": {"y": "3"}}));
        check("a[x]=1&a[x][y]=2", json!({"a": {"x": {"y": "2"}}}));
        check("a[x][y]=1&a[x]=2", json!({"a": {"x": "2"}}));
    }

    #[test]
    fn odd_brackets_as_php_reads_them() {
        check("a[b=1", json!({"a_b": "1"}));
        check("a[b[c=1", json!({"a_b_c": "1"}));
        check("a[=1", json!({"a_": "1"}));
        check("a[b][c=1", json!({"a": {"b": "1"}}));
        check("a[b]c=1", json!({"a": {"b": "1"}}));
        check("a[b]c[d]=1", json!({"a": {"b": "1"}}));
        check("a[[b]]=1", json!({"a": {"[b": "1"}}));
        check("a]=1", json!({"a]": "1"}));
        check("a[ ]=1&a[ ]=2", json!({"a": ["1", "2"]}));
        check("a[ b]=1", json!({"a": {" b": "1"}}));
        check("[b]=1&[]=2&[=3", json!([]));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| format!("x=1&a{}=1", "[k]".repeat(levels));
        assert_eq!(
            Form::parse(deep(FORM_DEPTH_MAX).as_bytes()).iter().count(),
            2
        );
        assert_eq!(
            Form::parse(deep(FORM_DEPTH_MAX + 1).as_bytes())
                .iter()
                .count(),
            1
        );
        assert_eq!(Form::parse(deep(500_000).as_bytes()).iter().count(), 1);
        assert_eq!(
            Form::parse(format!("a{}=1", "[".repeat(2 << 20)).as_bytes())
                .iter()
                .count(),
            1
        );
    }

    #[test]
    fn tables_are_bounded() {
        let text = format!("a{}=1&", "[]".repeat(FORM_DEPTH_MAX)).repeat(FORM_PAIRS_MAX);
        let Some(Field::Json(Value::Array(list))) = Form::parse(text.as_bytes()).get("a").cloned()
        else {
            panic!("no list");
        };
        assert!(
            list.len() > 300 && list.len() <= FORM_TABLES_MAX / (FORM_DEPTH_MAX - 1),
            "{}",
            list.len()
        );
    }

    #[test]
    fn many_keys_are_no_trap() {
        let long = "a[]=x&".repeat((2 << 20) / 6);
        let mixed: String = (0..FORM_PAIRS_MAX / 2)
            .map(|n| format!("a[k{n}]=x&a[]=y&"))
            .collect();
        let falling: String = (0..FORM_PAIRS_MAX)
            .rev()
            .map(|n| format!("a[{n}]=x&"))
            .collect();
        for text in [long, mixed, falling] {
            let items = match Form::parse(text.as_bytes()).get("a") {
                Some(Field::Json(Value::Array(list))) => list.len(),
                Some(Field::Json(Value::Object(object))) => object.len(),
                other => panic!("{other:?}"),
            };
            assert_eq!(items, FORM_PAIRS_MAX);
        }
    }
}
