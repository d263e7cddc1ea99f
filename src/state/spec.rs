//! Who a push is for, as it was written. Never who that is ([`super::hub`]).

use std::borrow::Cow;

/// Who a push is for: patterns, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec<'a> {
    /// A comma list.
    Text(Cow<'a, str>),
    /// A JSON list; a comma in an item is a comma.
    List(Vec<String>),
}

impl Spec<'_> {
    /// The pattern at `at` (0 to begin with), which is moved behind it; `None` behind the last.
    pub(super) fn next_pattern(&self, at: &mut usize) -> Option<&str> {
        match self {
            Spec::List(items) => {
                let item = items.get(*at)?;
                *at += 1;
                Some(item)
            }
            Spec::Text(text) => {
                let rest = text.get(*at..)?;
                let len = memchr::memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
                *at += len + 1;
                Some(&rest[..len])
            }
        }
    }

    pub(super) fn is_single(&self) -> bool {
        match self {
            Spec::List(items) => items.len() < 2,
            Spec::Text(text) => memchr::memchr(b',', text.as_bytes()).is_none(),
        }
    }

    /// The specification as given, for logs and handlers.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Spec::Text(text) => Cow::Borrowed(text),
            Spec::List(items) => Cow::Owned(items.join(",")),
        }
    }

    /// The same, owning its text.
    pub fn into_owned(self) -> Spec<'static> {
        match self {
            Spec::Text(text) => Spec::Text(Cow::Owned(text.into_owned())),
            Spec::List(items) => Spec::List(items),
        }
    }
}
