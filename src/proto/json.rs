//! JSON as the original wrote it: compact UTF-8, no slash escape, U+2028 and U+2029 escaped,
//! integers exact, floats shortest. Never reads JSON.

use std::fmt::Write as _;

use memchr::{memchr2, memchr3};
use serde_json::{Number, Value};

/// Appends `value` to `out`.
/// Source: PHP's json_encode with JSON_UNESCAPED_UNICODE and JSON_UNESCAPED_SLASHES (contract 1, "Answer").
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_str(out, text),
        Value::Array(list) => {
            out.push(b'[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (at, (name, item)) in object.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_str(out, name);
                out.push(b':');
                write(out, item);
            }
            out.push(b'}');
        }
    }
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let (plain, tail) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        rest = match tail {
            [] => break,
            [0xe2, 0x80, last @ (0xa8 | 0xa9), behind @ ..] => {
                out.extend_from_slice(if *last == 0xa8 {
                    b"\\u2028"
                } else {
                    b"\\u2029"
                });
                behind
            }
            [byte, behind @ ..] => {
                write_byte(out, *byte);
                behind
            }
        };
    }
    out.push(b'"');
}

/// The text of a scalar or the compact JSON of a list or object: what a push delivers.
pub fn to_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => {
            let mut out = Vec::new();
            write(&mut out, value);
            // Never invalid: the writer puts ASCII between whole pieces of UTF-8.
            String::from_utf8(out).unwrap_or_default()
        }
    }
}

/// Whether a JSON text holds more than `max` values, member names aside; of text that is no JSON
/// it says anything. Costs nothing where the text is too short for that.
pub fn has_more_values(text: &[u8], max: usize) -> bool {
    // A value and the comma before it are two bytes.
    if text.len() / 2 < max {
        return false;
    }
    let (mut values, mut at) = (1, 0);
    while let Some(found) = memchr3(b',', b'"', b'[', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            at += string_length(&text[at..]);
        } else {
            values += 1;
            if values > max {
                return true;
            }
        }
    }
    false
}

/// Length of a string from behind its opening quote to behind its closing one.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at = (at + 1).min(text.len());
    }
    text.len()
}

/// Bytes that may need an escape; 0xe2 begins U+2028 and U+2029, among others.
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == 0xe2)
}

/// How many bytes from the start need no escape.
fn plain_length(text: &[u8]) -> usize {
    let mut length = 0;
    // Without a branch per byte, so that the compiler looks at a block at once.
    for block in text.chunks_exact(16) {
        if block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        length += block.len();
    }
    length
        + text[length..]
            .iter()
            .take_while(|byte| !is_special(**byte))
            .count()
}

/// Appends one special byte, escaped where JSON wants it.
fn write_byte(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x20.. => return out.push(byte),
        _ => {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
            return out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                digit(byte >> 4),
                digit(byte),
            ]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Integers by their digits, of any size; what has a fraction or an exponent as a float, except beyond f64.
fn write_number(out: &mut Vec<u8>, number: &Number) {
    let digits = number.as_str();
    let float = match digits
        .bytes()
        .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
    {
        true => number.as_f64(),
        false => None,
    };
    match float {
        Some(float) => out.extend_from_slice(float_text(float).as_bytes()),
        None => out.extend_from_slice(digits.as_bytes()),
    }
}

/// The shortest digits that read back as `float`, as PHP places them (`serialize_precision` -1): no fraction
/// where it is zero, an exponent from 1.0e+17 up and below 1.0e-4.
fn float_text(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut out = sign.to_owned();
    match exponent {
        0..17 => {
            let whole = fraction.len().min(exponent as usize);
            out.extend([first, &fraction[..whole]]);
            out.extend(std::iter::repeat_n('0', exponent as usize - whole));
            if whole < fraction.len() {
                out.extend([".", &fraction[whole..]]);
            }
        }
        -4..0 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
            out.extend([first, fraction]);
        }
        _ => {
            let fraction = if fraction.is_empty() { "0" } else { fraction };
            // Writing to a String cannot fail.
            let _ = write!(out, "{first}.{fraction}e{exponent:+}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_counted_outside_strings() {
        let many = |text: &str, max| super::has_more_values(text.as_bytes(), max);
        assert!(!many("[1,2,3]", 4) && many("[1,2,3]", 3));
        assert!(!many(r#"["a,b,c,[,","\",",",,"]"#, 4));
        assert!(!many(r#"{"a":"x,,,,,,,,,,,,,,,,,,,,,"}"#, 2));
        assert!(many(r#"{"a":1,"b":2,"c":{"d":[]}}"#, 3));
        assert!(!many("\"unclosed", 1) && !many("", 0));
    }

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        let mut out = b">".to_vec();
        write(&mut out, value);
        String::from_utf8(out).unwrap()[1..].to_owned()
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(
            text(&serde_json::from_str(json).unwrap()),
            expected,
            "{json}"
        );
    }

    #[test]
    fn values() {
        check("null", "null");
        check(" [ true , false ] ", "[true,false]");
        check("{}", "{}");
        check("[]", "[]");
        check(r#"[[],{},[[]],{"a":{}}]"#, r#"[[],{},[[]],{"a":{}}]"#);
        check(
            r#"{"z":1,"a":"b\/c","\"":[null]}"#,
            r#"{"z":1,"a":"b/c","\"":[null]}"#,
        );
        check(
            r#"{"id":1,"text":"订单10待审批","f":1.5,"n":null,"t":true,"e":[],"o":{}}"#,
            r#"{"id":1,"text":"订单10待审批","f":1.5,"n":null,"t":true,"e":[],"o":{}}"#,
        );
    }

    #[test]
    fn integers_stay_exact() {
        for digits in [
            "0",
            "-1",
            "9223372036854775808",
            "-9223372036854775809",
            "123456789012345678901234567890",
        ] {
            check(digits, digits);
        }
    }

    #[test]
    fn floats_as_php_writes_them() {
        for (json, expected) in [
            ("1.50", "1.5"),
            ("1.0", "1"),
            ("-2.0", "-2"),
            ("0.0", "0"),
            ("-0.0", "-0"),
            ("1e2", "100"),
            ("1E+2", "100"),
            ("12345.678", "12345.678"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("0.10000000000000000555", "0.1"),
            ("3.141592653589793", "3.141592653589793"),
            ("1e15", "1000000000000000"),
            ("1.5e15", "1500000000000000"),
            ("1e16", "10000000000000000"),
            ("9007199254740993.0", "9007199254740992"),
            ("12345678901234567.0", "12345678901234568"),
            ("1e17", "1.0e+17"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
            ("1e25", "1.0e+25"),
            ("-1.5e300", "-1.5e+300"),
            ("0.0001", "0.0001"),
            ("0.00012", "0.00012"),
            ("0.00001", "1.0e-5"),
            ("0.000012", "1.2e-5"),
            ("5e-324", "5.0e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1e-400", "0"),
            ("1e+400", "1e+400"),
            ("-2.5e+999", "-2.5e+999"),
        ] {
            check(json, expected);
        }
    }

    #[track_caller]
    fn check_str(text: &str, expected: &str) {
        let mut out = Vec::new();
        write_str(&mut out, text);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("\"{expected}\""),
            "{text:?}"
        );
    }

    #[test]
    fn strings() {
        check_str("", "");
        check_str(
            "a/b <i> & 'q' 你好 é 😀 \u{7f}",
            "a/b <i> & 'q' 你好 é 😀 \u{7f}",
        );
        check_str("\"\\", r#"\"\\"#);
        check_str("\u{8}\u{c}\n\r\t", r"\b\f\n\r\t");
        check_str("\0\u{1}\u{b}\u{1f}", r"\u0000\u0001\u000b\u001f");
        check_str(
            "\u{2027}\u{2028}\u{2029}\u{202a}",
            "\u{2027}\\u2028\\u2029\u{202a}",
        );
        check_str("“€→”", "“€→”");
    }

    #[test]
    fn an_escape_at_every_place_of_a_block() {
        for at in 0..50 {
            for (special, escaped) in [
                ("\"", "\\\""),
                ("\u{2028}", "\\u2028"),
                ("\u{1}", "\\u0001"),
            ] {
                let around = ("x".repeat(at), "y".repeat(50 - at));
                check_str(
                    &format!("{}{special}{}", around.0, around.1),
                    &format!("{}{escaped}{}", around.0, around.1),
                );
            }
        }
    }

    #[test]
    fn texts_of_a_push() {
        assert_eq!(to_text(&json!("a\"<b>")), "a\"<b>");
        assert_eq!(to_text(&json!(42)), "42");
        assert_eq!(to_text(&json!(1.25)), "1.25");
        assert_eq!(to_text(&json!(true)), "true");
        assert_eq!(to_text(&Value::Null), "null");
        assert_eq!(to_text(&json!({})), "{}");
        assert_eq!(
            to_text(&json!([1, "2", {"a": "b/c"}])),
            r#"[1,"2",{"a":"b/c"}]"#
        );
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_str(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn floats_read_back(float in any::<f64>().prop_filter("JSON has no infinity", |float| float.is_finite())) {
            prop_assert_eq!(float_text(float).parse::<f64>().unwrap().to_bits(), float.to_bits());
        }
    }
}
