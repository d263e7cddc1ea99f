//! Numbers in texts, by PHP's `is_numeric`: what parameters and references take for one. Never a unit or a range.

use serde_json::Number;

/// A number that was read or computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Numeric {
    /// Whole and within 64 bits.
    Integer(i64),
    /// Anything else, finite.
    Float(f64),
}

impl Numeric {
    /// Reads blanks, a sign, digits with or without a fraction and an exponent, blanks; `None` for all else,
    /// also for what is beyond a float.
    pub fn parse(text: &str) -> Option<Numeric> {
        let text =
            text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'));
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        // Rust reads `inf` and `nan` too, which are words here.
        let is_number = unsigned
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            && unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit());
        if !is_number {
            return None;
        }
        match text.parse() {
            Ok(integer) => Some(Numeric::Integer(integer)),
            Err(_) => text
                .parse()
                .ok()
                .filter(|float: &f64| float.is_finite())
                .map(Numeric::Float),
        }
    }

    /// A JSON number; `None` beyond a float.
    pub fn of(number: &Number) -> Option<Numeric> {
        match number.as_i64() {
            Some(integer) => Some(Numeric::Integer(integer)),
            None => number
                .as_f64()
                .filter(|float| float.is_finite())
                .map(Numeric::Float),
        }
    }

    /// As a float, rounded where need be.
    pub fn as_f64(self) -> f64 {
        match self {
            Numeric::Integer(integer) => integer as f64,
            Numeric::Float(float) => float,
        }
    }

    /// The integer it is: any, or a float without a fraction in the range where floats are exact.
    pub fn whole(self) -> Option<i64> {
        match self {
            Numeric::Integer(integer) => Some(integer),
            Numeric::Float(float) => {
                (float.fract() == 0.0 && float.abs() <= EXACT_MAX).then_some(float as i64)
            }
        }
    }

    /// Towards zero; `None` beyond 64 bits.
    pub fn truncated(self) -> Option<i64> {
        match self {
            Numeric::Integer(integer) => Some(integer),
            // 2⁶³ itself is a float, one less is not.
            Numeric::Float(float) => {
                (float.abs() < 9_223_372_036_854_775_808.0).then_some(float as i64)
            }
        }
    }
}

/// 2⁵³: up to here a float holds every integer.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::Numeric::{Float, Integer};
    use super::*;

    #[test]
    fn texts() {
        for (text, expect) in [
            ("0", Some(Integer(0))),
            ("-0", Some(Integer(0))),
            ("+7", Some(Integer(7))),
            (" \t\n7 ", Some(Integer(7))),
            ("007", Some(Integer(7))),
            ("1.5", Some(Float(1.5))),
            (".5", Some(Float(0.5))),
            ("5.", Some(Float(5.0))),
            ("-1e3", Some(Float(-1000.0))),
            ("1E-2", Some(Float(0.01))),
            ("9223372036854775807", Some(Integer(i64::MAX))),
            ("9223372036854775808", Some(Float(9223372036854775808.0))),
            ("", None),
            (" ", None),
            ("-", None),
            (".", None),
            ("--1", None),
            ("1-", None),
            ("1e", None),
            ("e1", None),
            ("1.2.3", None),
            ("1 2", None),
            ("1,5", None),
            ("0x1A", None),
            ("inf", None),
            ("-Infinity", None),
            ("nan", None),
            ("1e999", None),
            ("1_000", None),
            ("１", None),
            ("abc", None),
        ] {
            assert_eq!(Numeric::parse(text), expect, "{text:?}");
        }
        assert_eq!(Numeric::parse(&"9".repeat(1 << 20)), None);
    }

    #[test]
    fn integers() {
        assert_eq!(Float(3.9).truncated(), Some(3));
        assert_eq!(Float(-3.9).truncated(), Some(-3));
        assert_eq!(Float(9223372036854775808.0).truncated(), None);
        assert_eq!(Float(3.9).whole(), None);
        assert_eq!(Float(4.0).whole(), Some(4));
        assert_eq!(Float(1e300).whole(), None);
    }
}
