//! The expressions of a batch's references: paths into answers, numbers, `+ - * /` and brackets. Knows values
//! only, never where they stand ([`super::reference`]). Bounded in length and depth; a failure is null.

use std::borrow::Cow;

use serde_json::{Number, Value};

use crate::call::number::Numeric;
use crate::call::reference::Answers;
use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};

/// The value of an expression, null where it is no expression, names nothing, or computes with what is no number.
///
/// `$1` is the first answer, `$-1` the last, then `.name`, `[0]`, `['name']` lead into it. Numbers are JSON numbers and texts that
/// hold one; integers stay integers, a quotient or sum that is whole too.
pub fn evaluate<'a>(text: &str, answers: &'a Answers) -> Cow<'a, Value> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Cow::Owned(Value::Null);
    }
    let mut parser = Parser {
        rest: text.trim_matches(is_blank),
        answers,
    };
    match parser.sum(EXPRESSION_DEPTH_MAX) {
        Some(value) if parser.rest.is_empty() => match value {
            Operand::Value(value) => Cow::Borrowed(value),
            Operand::Number(number) => Cow::Owned(to_value(number)),
        },
        _ => Cow::Owned(Value::Null),
    }
}

/// Left to right, no look back: each byte is read once.
struct Parser<'t, 'a> {
    rest: &'t str,
    answers: &'a Answers,
}

/// What an operator works on. A value that is not computed with keeps its type.
enum Operand<'a> {
    Value(&'a Value),
    Number(Numeric),
}

impl<'a> Operand<'a> {
    fn number(self) -> Option<Numeric> {
        match self {
            Operand::Number(number) => Some(number),
            Operand::Value(Value::Number(number)) => Numeric::of(number),
            Operand::Value(Value::String(text)) => Numeric::parse(text),
            Operand::Value(_) => None,
        }
    }
}

impl<'a> Parser<'_, 'a> {
    /// Products, added up.
    fn sum(&mut self, depth: usize) -> Option<Operand<'a>> {
        let mut left = self.product(depth)?;
        while let Some(operator) = self.operator(['+', '-']) {
            let right = self.product(depth)?;
            left = compute(operator, left, right)?;
        }
        Some(left)
    }

    /// Factors, multiplied.
    fn product(&mut self, depth: usize) -> Option<Operand<'a>> {
        let mut left = self.factor(depth)?;
        while let Some(operator) = self.operator(['*', '/']) {
            let right = self.factor(depth)?;
            left = compute(operator, left, right)?;
        }
        Some(left)
    }

    /// A path, a number, something in brackets, or a sign and one of them.
    fn factor(&mut self, depth: usize) -> Option<Operand<'a>> {
        let depth = depth.checked_sub(1)?;
        self.skip_blanks();
        if let Some(rest) = self.rest.strip_prefix('$') {
            self.rest = rest;
            return self.path();
        }
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            let value = self.sum(depth)?;
            self.skip_blanks();
            self.rest = self.rest.strip_prefix(')')?;
            return Some(value);
        }
        if let Some(rest) = self.rest.strip_prefix('-') {
            self.rest = rest;
            let value = self.factor(depth)?;
            return compute('-', Operand::Number(Numeric::Integer(0)), value);
        }
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
        Numeric::parse(digits).map(Operand::Number)
    }

    /// Behind the `$`: the number of an answer and the way into it.
    fn path(&mut self) -> Option<Operand<'a>> {
        let from_end = self.rest.strip_prefix('-');
        self.rest = from_end.unwrap_or(self.rest);
        let number: usize = self.take_while(|c| c.is_ascii_digit()).parse().ok()?;
        let index = match from_end {
            Some(_) => self.answers.len().checked_sub(number)?,
            None => number.checked_sub(1)?,
        };
        let mut value = self.answers.get(index)?.as_ref()?;
        loop {
            let key = if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                self.take_while(|c| c == '_' || c.is_alphanumeric())
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                let (key, rest) = rest.split_once(']')?;
                self.rest = rest;
                unquoted(key.trim_matches(is_blank))?
            } else {
                return Some(Operand::Value(value));
            };
            value = match value {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                Value::Object(members) => members.get(key).filter(|_| !key.is_empty())?,
                _ => return None,
            };
        }
    }

    fn operator(&mut self, operators: [char; 2]) -> Option<char> {
        self.skip_blanks();
        let operator = self.rest.chars().next().filter(|c| operators.contains(c))?;
        self.rest = &self.rest[1..];
        Some(operator)
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// `0`, `'name'` or `"name"` without quotes; `None` for anything else.
fn unquoted(key: &str) -> Option<&str> {
    for quote in ['\'', '"'] {
        if let Some(rest) = key.strip_prefix(quote) {
            return rest.strip_suffix(quote);
        }
    }
    Some(key).filter(|key| key.bytes().all(|b| b.is_ascii_digit()))
}

/// `None` where an operand is no number, or there is no such number.
fn compute<'a>(operator: char, left: Operand<'_>, right: Operand<'_>) -> Option<Operand<'a>> {
    let (left, right) = (left.number()?, right.number()?);
    if let (Numeric::Integer(a), Numeric::Integer(b)) = (left, right) {
        let exact = match operator {
            '+' => a.checked_add(b),
            '-' => a.checked_sub(b),
            '*' => a.checked_mul(b),
            _ => a.checked_div(b).filter(|_| a.checked_rem(b) == Some(0)),
        };
        if let Some(exact) = exact {
            return Some(Operand::Number(Numeric::Integer(exact)));
        }
    }
    let (a, b) = (left.as_f64(), right.as_f64());
    let float = match operator {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ => a / b,
    };
    float
        .is_finite()
        .then_some(Operand::Number(Numeric::Float(float)))
}

fn to_value(number: Numeric) -> Value {
    match number.whole() {
        Some(integer) => Value::from(integer),
        None => Number::from_f64(number.as_f64()).map_or(Value::Null, Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answers() -> Vec<Option<Value>> {
        vec![
            Some(json!(["u1", {"x": 5, "1": "one"}])),
            None,
            Some(
                json!({"id": 7, "a": 6, "b": "4", "c": 2.5, "s": "x", "t": true, "n": null, "": 1, "中": [[1, 2], []],
                "max": i64::MAX, "big": 18446744073709551615u64, "blank": " 8 ", "0": "zero"}),
            ),
        ]
    }

    #[track_caller]
    fn check(text: &str, expect: Value) {
        assert_eq!(*evaluate(text, &answers()), expect, "{text}");
    }

    #[test]
    fn paths() {
        for (text, expect) in [
            ("$1", json!(["u1", {"x": 5, "1": "one"}])),
            (" $1[0] ", json!("u1")),
            ("$1.0", json!("u1")),
            ("$1[1].x", json!(5)),
            ("$1[1]['x']", json!(5)),
            ("$1[ 1 ][\"x\"]", json!(5)),
            ("$1[1][1]", json!("one")),
            ("$-3[0]", json!("u1")),
            ("$3.id", json!(7)),
            ("$-1.id", json!(7)),
            ("($-1.id)", json!(7)),
            ("(($1))", json!(["u1", {"x": 5, "1": "one"}])),
            ("$3.中[0][1]", json!(2)),
            ("$3.中[1]", json!([])),
            ("$3[0]", json!("zero")),
            ("$3.t", json!(true)),
            ("$3['']", json!(null)),
            ("$3.", json!(null)),
            ("$2", json!(null)),
            ("$-2", json!(null)),
            ("$2.id", json!(null)),
            ("$0", json!(null)),
            ("$-0", json!(null)),
            ("$4", json!(null)),
            ("$-4", json!(null)),
            ("$1[2]", json!(null)),
            ("$1[-1]", json!(null)),
            ("$1[0", json!(null)),
            ("$1]", json!(null)),
            ("$1[]", json!(null)),
            ("$1[x]", json!(null)),
            ("$1['x]", json!(null)),
            ("$1['", json!(null)),
            ("$1[']", json!(null)),
            ("$3.id.x", json!(null)),
            ("$3.nosuch.x", json!(null)),
            ("$ 1", json!(null)),
            ("$1 [0]", json!(null)),
            ("$", json!(null)),
            ("$-", json!(null)),
            ("", json!(null)),
            ("$x", json!(null)),
            ("$1 $1", json!(null)),
            ("$999999999999999999999", json!(null)),
            ("$1[999999999999999999999]", json!(null)),
        ] {
            check(text, expect);
        }
    }

    #[test]
    fn arithmetic() {
        for (text, expect) in [
            ("$-1.a * $-1.b", json!(24)),
            ("$3.a*$3.b+1", json!(25)),
            ("1 + $3.a * $3.b", json!(25)),
            ("(1 + $3.a) * $3.b", json!(28)),
            ("$3.a - 1 - 2", json!(3)),
            ("$3.a - (1 - 2)", json!(7)),
            ("$3.a / 3", json!(2)),
            ("$3.a / 4", json!(1.5)),
            ("$3.a / 4 * 2", json!(3)),
            ("24 / $3.a / 2", json!(2)),
            ("$3.c * 2", json!(5)),
            ("$3.c + 1", json!(3.5)),
            ("$3.a+.5", json!(6.5)),
            ("$3.a-1", json!(5)),
            ("$3.a -1", json!(5)),
            ("-$3.a", json!(-6)),
            ("- -$3.a", json!(6)),
            ("2*-$3.a", json!(-12)),
            ("$3.blank + 0", json!(8)),
            ("$3.a\n*\t2", json!(12)),
            ("$3.max + 0", json!(i64::MAX)),
            ("$3.max + 1", json!(9223372036854775808.0)),
            ("$3.big", json!(18446744073709551615u64)),
            ("$3.a / 0", json!(null)),
            ("$3.c / 0", json!(null)),
            ("0 / 0", json!(null)),
            ("(0 - $3.max - 1) / -1", json!(9223372036854775808.0)),
            ("$3.s + 1", json!(null)),
            ("$3.t + 1", json!(null)),
            ("$3.n + 1", json!(null)),
            ("$1 + 1", json!(null)),
            ("$2 + 1", json!(null)),
            ("$3.a +", json!(null)),
            ("+ $3.a", json!(null)),
            ("$3.a ** 2", json!(null)),
            ("$3.a % 2", json!(null)),
            ("($3.a", json!(null)),
            ("$3.a)", json!(null)),
            ("()", json!(null)),
            ("1.2.3 + $3.a", json!(null)),
            ("1..5", json!(null)),
            (". + $3.a", json!(null)),
            ("system($3.a)", json!(null)),
            ("$3.a; $3.a", json!(null)),
        ] {
            check(text, expect);
        }
    }

    #[test]
    fn bounds() {
        let brackets = |n: usize| format!("{}$3.a{}", "(".repeat(n), ")".repeat(n));
        check(&brackets(EXPRESSION_DEPTH_MAX - 1), json!(6));
        check(&brackets(EXPRESSION_DEPTH_MAX), json!(null));
        check(&brackets(10_000), json!(null));
        check(&format!("{}$3.a", "-".repeat(500)), json!(null));
        let sum = |n: usize| format!("$3.a{}", "+0".repeat(n));
        check(&sum((EXPRESSION_BYTES_MAX - 4) / 2), json!(6));
        check(&sum(EXPRESSION_BYTES_MAX / 2), json!(null));
        check(&format!("$3.a * {}", "9".repeat(400)), json!(null));
    }
}
