//! The types of values, and how text becomes a value and text again. What is right is said by
//! [`super::rule`].

use std::fmt;

use crate::limits::SETTING_ITEMS_MAX;
use crate::settings::address::is_origin;
use crate::settings::rule::{Rule, seconds};
use crate::settings::{BasePath, DatabaseAt, IpNet, Listen};

/// What happens to a receiver whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullQueue {
    /// It is closed.
    #[default]
    Close,
    /// It does not get the message.
    Drop,
}

/// What a timer does that comes due while its last run is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It runs beside it, as in the original.
    #[default]
    Allow,
    /// It leaves this run out.
    Skip,
    /// It runs once more right after it.
    Queue,
}

impl Overlap {
    /// By its word.
    pub fn parse(text: &str) -> Option<Overlap> {
        match text {
            "allow" => Some(Overlap::Allow),
            "skip" => Some(Overlap::Skip),
            "queue" => Some(Overlap::Queue),
            _ => None,
        }
    }
}

/// A text that no log, message or debug output ever shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret, for whoever has to show it to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `given` is the secret, in a time that does not tell where they differ.
    /// An empty secret matches nothing.
    pub fn matches(&self, given: &[u8]) -> bool {
        let differing = self
            .0
            .bytes()
            .zip(given)
            .fold(0, |bits, (own, other)| bits | (own ^ other));
        !self.is_empty() && self.0.len() == given.len() && std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "?" })
    }
}

/// A type of value: from text under a rule, and back. `parse(print(x)) == x`.
pub(super) trait Field: Sized {
    /// `None` when the text breaks the rule.
    fn parse(rule: &Rule, text: &str) -> Option<Self>;
    /// The value as text.
    fn print(&self) -> String;
}

/// Digits only, so neither sign nor blank.
fn whole(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    whole(digits)?.checked_mul(1 << shift)
}

/// `8`, `0.25`, `8.0` as ms.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 3 || text.ends_with('.') {
        return None;
    }
    let ms = if decimals.is_empty() {
        0
    } else {
        whole(decimals)? * 10_u64.pow(3 - decimals.len() as u32)
    };
    whole(seconds)?.checked_mul(1_000)?.checked_add(ms)
}

fn number(rule: &Rule, text: &str) -> Option<u64> {
    let (value, min, max) = match *rule {
        Rule::Whole { min, max } => (whole(text)?, min, max),
        Rule::Bytes { min, max } => (bytes(text)?, min, max),
        Rule::Port => (whole(text)?, 0, 65_535),
        _ => return None,
    };
    (min..=max).contains(&value).then_some(value)
}

impl Field for u16 {
    fn parse(rule: &Rule, text: &str) -> Option<Self> {
        number(rule, text)?.try_into().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Field for u32 {
    fn parse(rule: &Rule, text: &str) -> Option<Self> {
        number(rule, text)?.try_into().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Field for usize {
    fn parse(rule: &Rule, text: &str) -> Option<Self> {
        number(rule, text)?.try_into().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

/// Seconds, kept in ms.
impl Field for u64 {
    fn parse(rule: &Rule, text: &str) -> Option<Self> {
        let &Rule::Seconds { min_ms, max_ms } = rule else {
            return None;
        };
        milliseconds(text).filter(|ms| (min_ms..=max_ms).contains(ms))
    }

    fn print(&self) -> String {
        seconds(*self)
    }
}

impl Field for bool {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        let is_any = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        if is_any(["1", "true", "on", "yes"]) {
            Some(true)
        } else if is_any(["0", "false", "off", "no"]) {
            Some(false)
        } else {
            None
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Field for FullQueue {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        match text {
            "close" => Some(FullQueue::Close),
            "drop" => Some(FullQueue::Drop),
            _ => None,
        }
    }

    fn print(&self) -> String {
        match self {
            FullQueue::Close => "close".to_owned(),
            FullQueue::Drop => "drop".to_owned(),
        }
    }
}

impl Field for Overlap {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        Overlap::parse(text)
    }

    fn print(&self) -> String {
        match self {
            Overlap::Allow => "allow",
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
        }
        .to_owned()
    }
}

/// A path or a user's name.
impl Field for String {
    fn parse(rule: &Rule, text: &str) -> Option<Self> {
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('-')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte))
        };
        let is_right = match rule {
            Rule::User => text.is_empty() || text.splitn(2, ':').all(is_name),
            _ => !text.contains('\0'),
        };
        is_right.then(|| text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }
}

impl Field for BasePath {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Field for DatabaseAt {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Field for Secret {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        (!text.contains(|c: char| c.is_whitespace() || c.is_control()))
            .then(|| Secret(text.to_owned()))
    }

    fn print(&self) -> String {
        self.0.clone()
    }
}

/// The items of a list; empty ones, as behind a last comma, are left out.
fn items<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let list: Vec<T> = parts
        .take(SETTING_ITEMS_MAX + 1)
        .map(item)
        .collect::<Option<_>>()?;
    (list.len() <= SETTING_ITEMS_MAX).then_some(list)
}

fn joined<T: ToString>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

impl Field for Vec<Listen> {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        items(text, |item| item.parse().ok())
    }

    fn print(&self) -> String {
        joined(self)
    }
}

impl Field for Vec<IpNet> {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        items(text, |item| item.parse().ok())
    }

    fn print(&self) -> String {
        joined(self)
    }
}

/// Origins, in lower case as browsers send them.
impl Field for Vec<String> {
    fn parse(_: &Rule, text: &str) -> Option<Self> {
        items(text, |item| {
            is_origin(item).then(|| item.to_ascii_lowercase())
        })
    }

    fn print(&self) -> String {
        self.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_within_range() {
        let rule = Rule::Whole { min: 1, max: 1_000 };
        for (text, want) in [("1", Some(1)), ("1000", Some(1_000)), ("007", Some(7))] {
            assert_eq!(u32::parse(&rule, text), want, "{text:?}");
        }
        for text in [
            "",
            "0",
            "1001",
            "-1",
            "+1",
            "1.0",
            " 1",
            "1e3",
            "0x1",
            "99999999999999999999",
            "１",
        ] {
            assert_eq!(u32::parse(&rule, text), None, "{text:?}");
        }
    }

    #[test]
    fn bytes_take_a_unit() {
        let rule = Rule::Bytes {
            min: 10,
            max: 1 << 40,
        };
        for (text, want) in [
            ("10", 10),
            ("64K", 65_536),
            ("4m", 4 << 20),
            ("1024G", 1 << 40),
        ] {
            assert_eq!(usize::parse(&rule, text), Some(want), "{text:?}");
        }
        for text in [
            "",
            "K",
            "9",
            "1025G",
            "18446744073709551615K",
            "4MB",
            "4 M",
            "1.5M",
            "é",
        ] {
            assert_eq!(usize::parse(&rule, text), None, "{text:?}");
        }
    }

    #[test]
    fn seconds_have_up_to_three_decimals() {
        let rule = Rule::Seconds {
            min_ms: 10,
            max_ms: 86_400_000,
        };
        for (text, want) in [
            ("8", 8_000),
            ("0.25", 250),
            ("0.01", 10),
            ("8.0", 8_000),
            ("1.5000", 1_500),
            ("86400", 86_400_000),
        ] {
            assert_eq!(u64::parse(&rule, text), Some(want), "{text:?}");
        }
        for text in [
            "",
            ".",
            "1.",
            "0",
            "0.009",
            "0.0101",
            "86400.001",
            "-1",
            "1.+5",
            "1.2.3",
            "1s",
            "99999999999999999999",
            "1.99999999999999999999",
        ] {
            assert_eq!(u64::parse(&rule, text), None, "{text:?}");
        }
        assert_eq!(8_250_u64.print(), "8.25");
    }

    #[test]
    fn users_have_plain_names() {
        for text in ["", "jdserver", "www-data:adm", "a.b_c$"] {
            assert!(String::parse(&Rule::User, text).is_some(), "{text:?}");
        }
        for text in [":", "a:", ":a", "a:b:c", "-a", "a b", "a/b", "é"] {
            assert!(String::parse(&Rule::User, text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(u16::parse(&Rule::Port, "65535"), Some(65_535));
        assert_eq!(u16::parse(&Rule::Port, "0"), Some(0));
        assert_eq!(u16::parse(&Rule::Port, "65536"), None);
        assert_eq!(u16::parse(&Rule::Port, "80a"), None);
    }

    #[test]
    fn switches_take_the_words_of_typed_parameters() {
        for text in ["1", "true", "on", "yes", "TRUE"] {
            assert_eq!(bool::parse(&Rule::Bool, text), Some(true), "{text:?}");
        }
        for text in ["0", "false", "off", "No"] {
            assert_eq!(bool::parse(&Rule::Bool, text), Some(false), "{text:?}");
        }
        for text in ["", "2", "y", "truefalse"] {
            assert_eq!(bool::parse(&Rule::Bool, text), None, "{text:?}");
        }
    }

    #[test]
    fn lists_are_bounded_and_whole_or_nothing() {
        let nets =
            <Vec<IpNet>>::parse(&Rule::Networks, "10.0.0.0/8, ::1 ,").map(|list| list.print());
        assert_eq!(nets.as_deref(), Some("10.0.0.0/8,::1/128"));
        assert_eq!(<Vec<IpNet>>::parse(&Rule::Networks, "10.0.0.0/8,x"), None);
        assert_eq!(
            <Vec<IpNet>>::parse(&Rule::Networks, &"::1,".repeat(SETTING_ITEMS_MAX + 1)),
            None
        );
        assert!(<Vec<IpNet>>::parse(&Rule::Networks, &"::1,".repeat(SETTING_ITEMS_MAX)).is_some());
        assert_eq!(
            <Vec<String>>::parse(&Rule::Origins, "HTTPS://A.example"),
            Some(vec!["https://a.example".to_owned()])
        );
    }

    #[test]
    fn a_secret_matches_itself_only_and_is_not_shown() {
        let secret = Secret::parse(&Rule::Secret, "s3cret").unwrap_or_default();
        assert!(secret.matches(b"s3cret"));
        for given in [&b""[..], b"s3cre", b"s3cret1", b"S3cret"] {
            assert!(!secret.matches(given), "{given:?}");
        }
        assert!(!Secret::default().matches(b""));
        assert_eq!(format!("{secret:?}"), "?");
        assert_eq!(Secret::parse(&Rule::Secret, "a b"), None);
    }
}
