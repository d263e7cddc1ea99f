//! References between the calls of a batch: `{$1}`, `{$-1.id}`, `{$1[0].x}`, `{$-1.a * $-1.b}`.
//! Finds them in parameters and puts the values in their place; [`super::expression`] computes them.
//! Never grows beyond the budget of its caller, nor deeper than JSON may be.

use memchr::{memchr, memchr2};
use serde_json::Value;

use crate::call::error::CallError;
use crate::call::expression;
use crate::limits::JSON_DEPTH_MAX;
use crate::proto::json;

/// The answers so far: `None` where a call failed.
pub type Answers = [Option<Value>];

/// Fills every reference in `value`, in nested values too. A text that is one reference alone becomes
/// the value it names; with text around it gives text. A failure is null, inside text the word `null`.
///
/// A reference is `{`, then text with a `$` and without braces, then `}`; any other brace stands for itself.
/// What is filled in is taken off `budget` (bytes of text, and 32 for each value): answers may be referred to again and
/// again, so without one a thousand calls could double a message a thousand times.
///
/// Errors: code 1 where the budget or the depth of JSON is used up; `value` is then half filled.
pub fn fill(value: &mut Value, answers: &Answers, budget: &mut usize) -> Result<(), CallError> {
    fill_at(value, answers, budget, JSON_DEPTH_MAX)
}

/// `depth`: levels that `value` may still have.
fn fill_at(
    value: &mut Value,
    answers: &Answers,
    budget: &mut usize,
    depth: usize,
) -> Result<(), CallError> {
    match value {
        Value::String(text) => {
            if let Some(filled) = fill_text(text, answers, budget, depth)? {
                *value = filled;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| fill_at(item, answers, budget, depth.saturating_sub(1))),
        Value::Object(members) => members
            .values_mut()
            .try_for_each(|member| fill_at(member, answers, budget, depth.saturating_sub(1))),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// `None` where there is no reference in `text`.
fn fill_text(
    text: &str,
    answers: &Answers,
    budget: &mut usize,
    depth: usize,
) -> Result<Option<Value>, CallError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, reference, after)) = next_reference(rest) {
        let value = expression::evaluate(reference, answers);
        if before.is_empty() && after.is_empty() && rest.len() == text.len() {
            charge(&value, budget, depth)?;
            return Ok(Some(value.into_owned()));
        }
        filled.push_str(before);
        charge(&value, budget, usize::MAX)?;
        match value.as_ref() {
            Value::String(text) => filled.push_str(text),
            value => filled.push_str(&json::to_text(value)),
        }
        rest = after;
    }
    if rest.len() == text.len() {
        return Ok(None);
    }
    filled.push_str(rest);
    Ok(Some(Value::String(filled)))
}

/// The first reference of `text`: what stands before it, its expression, what stands after it. Linear: each brace is
/// looked at once.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let bytes = text.as_bytes();
    let mut open = memchr(b'{', bytes)?;
    loop {
        let inside = open + 1;
        let brace = inside + memchr2(b'{', b'}', &bytes[inside..])?;
        if bytes[brace] == b'{' {
            open = brace;
            continue;
        }
        let expression = &text[inside..brace];
        if expression.contains('$') {
            return Some((&text[..open], expression, &text[brace + 1..]));
        }
        open = brace + 1 + memchr(b'{', &bytes[brace + 1..])?;
    }
}

/// Takes what a value is worth off the budget before it is copied.
fn charge(value: &Value, budget: &mut usize, depth: usize) -> Result<(), CallError> {
    match remaining(value, *budget, depth) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => Err(CallError::new(1, "batch `ref' makes too large a value")),
    }
}

/// The budget left after `value`; `None` where it, or the depth, does not suffice. Looks no further than the budget.
fn remaining(value: &Value, budget: usize, depth: usize) -> Option<usize> {
    let budget = budget.checked_sub(32)?;
    match value {
        Value::Null | Value::Bool(_) => Some(budget),
        // Digits are kept as they came, so a number may be a long text.
        Value::Number(number) => budget.checked_sub(number.as_str().len()),
        Value::String(text) => budget.checked_sub(text.len()),
        Value::Array(items) => {
            let depth = depth.checked_sub(1)?;
            items
                .iter()
                .try_fold(budget, |budget, item| remaining(item, budget, depth))
        }
        Value::Object(members) => {
            let depth = depth.checked_sub(1)?;
            members.iter().try_fold(budget, |budget, (key, member)| {
                remaining(member, budget.checked_sub(key.len())?, depth)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BATCH_REFERENCE_BYTES_MAX;
    use serde_json::json;

    fn filled(mut value: Value, answers: &Answers) -> Value {
        let mut budget = BATCH_REFERENCE_BYTES_MAX;
        fill(&mut value, answers, &mut budget).unwrap();
        value
    }

    #[track_caller]
    fn check(value: Value, answers: &[Option<Value>], expect: Value) {
        assert_eq!(filled(value, answers), expect);
    }

    #[test]
    fn recorded_batches() {
        let users = [Some(json!(["u1", "u2"]))];
        check(json!("{$1[0]}"), &users, json!("u1"));
        check(json!("{$1}"), &users, json!(["u1", "u2"]));
        check(
            json!({"x": "{$1[1]}", "y": ["{$-1[0]}"], "z": "a={$1[0]},b={$-1[1]},c={$1[9]}", "n": "{$5}"}),
            &users,
            json!({"x": "u2", "y": ["u1"], "z": "a=u1,b=u2,c=null", "n": null}),
        );
        let conf = [Some(json!({"conf_jdserver_log_ws": "0"}))];
        check(
            json!({"p": "{$-1.conf_jdserver_log_ws}", "q": "{$1.nosuch}", "r": "id>{$1.nosuch}", "s": "{$1.conf_jdserver_log_ws + 3}"}),
            &conf,
            json!({"p": "0", "q": null, "r": "id>null", "s": 3}),
        );
        check(json!("{$1}"), &conf, json!({"conf_jdserver_log_ws": "0"}));
        check(
            json!({"a": "{$1}", "b": "{$1.id}", "c": "t{$-1.id}", "d": "{$1}"}),
            &[None],
            json!({"a": null, "b": null, "c": "tnull", "d": null}),
        );
    }

    #[test]
    fn text_around() {
        let answers = [Some(
            json!({"a": 2, "l": [1, {"b": "c"}], "t": "x{$1.a}", "y": true}),
        )];
        for (text, expect) in [
            ("id>{$1.a}", "id>2"),
            ("{$1.a} ", "2 "),
            ("{$1.a}{$1.a}", "22"),
            ("{{$1.a}}", "{2}"),
            ("{\"k\":{$1.a}}", "{\"k\":2}"),
            ("{ $1.a }{a}", "2{a}"),
            ("l={$1.l}", "l=[1,{\"b\":\"c\"}]"),
            ("t={$1.t}", "t=x{$1.a}"),
            ("ü{$1.a}ü", "ü2ü"),
            ("{$}{$x}{$1.}{1 $}", "nullnullnullnull"),
        ] {
            check(json!(text), &answers, json!(expect));
        }
        check(json!(" {$1.a}"), &answers, json!(" 2"));
        check(json!("{ $1.a }"), &answers, json!(2));
        check(json!("{$1.t}"), &answers, json!("x{$1.a}"));
    }

    #[test]
    fn other_braces_stay() {
        let answers = [Some(json!(1))];
        for text in [
            "",
            "a",
            "{",
            "}",
            "{}",
            "{a}",
            "{1+2}",
            "{$1",
            "$1}",
            "}{$1",
            "${HOME}",
            "{${`",
            "{{{{",
            "{$1{",
            "{\"a\":{\"b\":1}}",
        ] {
            check(json!(text), &answers, json!(text));
        }
        check(json!({"{$1}": 1}), &answers, json!({"{$1}": 1}));
    }

    #[test]
    fn growth_is_bounded() {
        let mut answers = vec![Some(json!("0123456789"))];
        let mut budget = BATCH_REFERENCE_BYTES_MAX;
        let mut failed = false;
        for _ in 0..1_000 {
            let mut value = json!("{$-1}{$-1}{$-1}{$-1}");
            match fill(&mut value, &answers, &mut budget) {
                Ok(()) => answers.push(Some(value)),
                Err(error) => {
                    assert_eq!(
                        (error.code, error.detail.as_ref()),
                        (1, "batch `ref' makes too large a value")
                    );
                    failed = true;
                    answers.push(None);
                }
            }
        }
        assert!(failed);
        let held: usize = answers
            .iter()
            .flatten()
            .map(|v| v.as_str().unwrap_or_default().len())
            .sum();
        assert!(held <= BATCH_REFERENCE_BYTES_MAX, "{held}");
    }

    #[test]
    fn depth_is_bounded() {
        let mut answers = vec![Some(json!(1))];
        let mut budget = BATCH_REFERENCE_BYTES_MAX;
        let mut levels = 0;
        for _ in 0..1_000 {
            let mut value = json!(["{$-1}"]);
            if fill(&mut value, &answers, &mut budget).is_err() {
                break;
            }
            levels += 1;
            answers = vec![Some(value)];
        }
        assert_eq!(levels, JSON_DEPTH_MAX);
    }

    #[test]
    fn a_budget_is_used_exactly() {
        let answers = [Some(json!({"k": [true, "abc", 12]}))];
        // Object, key, list, true, text and its bytes, number and its digits.
        let cost = 32 + 1 + 32 + 32 + 32 + 3 + 32 + 2;
        let mut budget = cost;
        fill(&mut json!("{$1}"), &answers, &mut budget).unwrap();
        assert_eq!(budget, 0);
        let mut budget = cost - 1;
        fill(&mut json!("{$1}"), &answers, &mut budget).unwrap_err();
        assert_eq!(budget, cost - 1);
    }

    #[test]
    fn many_braces_are_read_once() {
        let answers = [Some(json!(1))];
        for text in [
            "{".repeat(1 << 20),
            "{}".repeat(1 << 20),
            "{$".repeat(1 << 20),
            format!("{{${}", "(".repeat(1 << 20)),
        ] {
            check(json!(text), &answers, json!(text));
        }
        let text = format!("{{${}}}", "(".repeat(1 << 20));
        check(json!(text), &answers, json!(null));
    }
}
