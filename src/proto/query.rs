//! Values as a query string, the way PHP's http_build_query writes them. Never reads one
//! ([`crate::proto::form`] does).

use serde_json::Value;

use crate::proto::json;

/// The form of an object or a list: `a%5B0%5D=1`, space as `+`, only letters, digits and `-._` bare,
/// null and empty lists left out, true 1, false 0. A scalar gives nothing. Keys repeat at every
/// leaf, so that a small value can grow far; `None` where it grows beyond `bytes_max`.
/// Source: contract 5, "The call".
pub fn build(value: &Value, bytes_max: usize) -> Option<Vec<u8>> {
    let mut writer = Writer {
        out: Vec::new(),
        key: Vec::new(),
        bytes_max,
    };
    writer.members(value).then_some(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// The key of what is being written, escaped.
    key: Vec<u8>,
    bytes_max: usize,
}

impl Writer {
    /// Writes what is in a list or an object; whether there was room.
    fn members(&mut self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .all(|(at, item)| self.member(&at.to_string(), item)),
            Value::Object(object) => object.iter().all(|(name, item)| self.member(name, item)),
            _ => true,
        }
    }

    fn member(&mut self, name: &str, value: &Value) -> bool {
        let outer = self.key.len();
        if outer == 0 {
            escape(&mut self.key, name);
        } else {
            self.key.extend_from_slice(b"%5B");
            escape(&mut self.key, name);
            self.key.extend_from_slice(b"%5D");
        }
        let fits = self.key.len() <= self.bytes_max && self.value(value);
        self.key.truncate(outer);
        fits
    }

    fn value(&mut self, value: &Value) -> bool {
        let number;
        let text = match value {
            Value::Null => return true,
            Value::Array(_) | Value::Object(_) => return self.members(value),
            Value::Bool(true) => "1",
            Value::Bool(false) => "0",
            Value::String(text) => text,
            Value::Number(_) => {
                number = json::to_text(value);
                &number
            }
        };
        let needed = self.key.len() + text.len() + 2;
        if self.out.len() + needed > self.bytes_max {
            return false;
        }
        if !self.out.is_empty() {
            self.out.push(b'&');
        }
        self.out.extend_from_slice(&self.key);
        self.out.push(b'=');
        escape(&mut self.out, text);
        self.out.len() <= self.bytes_max
    }
}

/// Appends `text` as PHP's urlencode writes it.
fn escape(out: &mut Vec<u8>, text: &str) {
    let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble & 15)];
    for byte in text.bytes() {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'.' | b'_' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    use crate::proto::form;

    #[track_caller]
    fn check(value: Value, expect: &str) {
        let built = build(&value, 1 << 20).map(|form| String::from_utf8(form).expect("ASCII"));
        assert_eq!(built.as_deref(), Some(expect));
    }

    #[test]
    fn as_recorded() {
        check(
            json!({"s": "a b*~-._é/&=+", "t": true, "f": false, "n": null, "d": 1.5,
                "a": [1, {"x": 2}], "e": "", "k k": 1, "o": []}),
            "s=a+b%2A%7E-._%C3%A9%2F%26%3D%2B&t=1&f=0&d=1.5&a%5B0%5D=1&a%5B1%5D%5Bx%5D=2&e=&k+k=1",
        );
        check(json!(["a", "b"]), "0=a&1=b");
        check(json!([]), "");
        check(json!({"c": 3, "d": 4}), "c=3&d=4");
    }

    #[test]
    fn edges() {
        check(json!({}), "");
        check(json!({"a": {"b": {}, "c": [null, []]}}), "");
        check(json!({"a": [null, 1]}), "a%5B1%5D=1");
        check(json!({"": 1, "[]": 2}), "=1&%5B%5D=2");
        check(json!({"a": {"b c": "\r\n\0"}}), "a%5Bb+c%5D=%0D%0A%00");
        check(json!([1.0, -7, 1e25]), "0=1&1=-7&2=1.0e%2B25");
        check(json!("x"), "");
    }

    #[test]
    fn growth_is_bounded() {
        let value = json!({"k".repeat(1_000): vec![1; 1_000]});
        assert_eq!(build(&value, 100_000), None);
        assert!(build(&value, 2_000_000).is_some());
        assert_eq!(build(&json!({"a": "12"}), 4).as_deref(), None);
        assert_eq!(build(&json!({"a": "é"}), 7), None);
        assert_eq!(build(&json!({"k".repeat(9): []}), 4), None);
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({"x".repeat(100): deep});
        }
        assert!(build(&deep, 1 << 20).is_some());
    }

    proptest! {
        #[test]
        fn the_form_reader_reads_it_back(text in ".{0,40}", key in "[^\\[\\]. ]{1,10}") {
            let built = build(&json!({key.clone(): text.clone()}), 1 << 20).expect("room");
            let (name, value) = {
                let at = built.iter().position(|byte| *byte == b'=').expect("one");
                (form::decode(&built[..at]), form::decode(&built[at + 1..]))
            };
            prop_assert_eq!((name.as_ref(), value.as_ref()), (key.as_str(), text.as_str()));
        }
    }
}
