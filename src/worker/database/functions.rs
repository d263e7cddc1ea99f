//! Functions of SQLite whose time is their arguments' lengths multiplied, so that one call of a few MiB holds a worker
//! for hours and no limit interrupts it: the same in the sum of the lengths. Never others.
//! Source: <https://sqlite.org/lang_corefunc.html>

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Error, ffi};

use crate::limits::{DATABASE_RESULT_BYTES_MAX, SQLITE_TRIM_BYTES_MAX};

/// Puts them in the place of SQLite's own.
pub(super) fn install(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("instr", 2, flags, |call| Ok(instr(call)))?;
    conn.create_scalar_function("replace", 3, flags, |call| replace(call))?;
    conn.create_scalar_function("trim", 2, flags, |call| trim(call, true, true))?;
    conn.create_scalar_function("ltrim", 2, flags, |call| trim(call, true, false))?;
    conn.create_scalar_function("rtrim", 2, flags, |call| trim(call, false, true))
}

/// What one of them gives.
enum Output {
    Null,
    Integer(i64),
    Text(Vec<u8>),
}

impl ToSql for Output {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Output::Null => ToSqlOutput::Owned(Value::Null),
            Output::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Output::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text)),
        })
    }
}

/// An argument as text; `None` for NULL.
fn text<'c>(call: &'c Context<'_>, at: usize) -> Option<Cow<'c, [u8]>> {
    match call.get_raw(at) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes().into()),
        ValueRef::Real(number) => Some(real_text(number).into_bytes().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.into()),
    }
}

/// As `%!.15g` of SQLite writes it.
fn real_text(number: f64) -> String {
    let text = format!("{number:.14e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let (before, behind) = match exponent {
        -4..0 => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            ("0".to_owned(), format!("{zeros}{digits}"))
        }
        0..15 => {
            let digits = format!("{digits:0<15}");
            let (before, behind) = digits.split_at(exponent as usize + 1);
            (before.to_owned(), behind.trim_end_matches('0').to_owned())
        }
        _ => {
            let (first, rest) = digits.split_at(digits.len().min(1));
            let first = if first.is_empty() { "0" } else { first };
            (first.to_owned(), rest.to_owned())
        }
    };
    let behind = if behind.is_empty() { "0" } else { &behind };
    match exponent {
        -4..15 => format!("{sign}{before}.{behind}"),
        _ if exponent < 0 => format!("{sign}{before}.{behind}e-{:02}", -exponent),
        _ => format!("{sign}{before}.{behind}e+{exponent:02}"),
    }
}

fn instr(call: &Context<'_>) -> Output {
    let are_blobs = (0..2).all(|at| matches!(call.get_raw(at), ValueRef::Blob(_)));
    let (Some(hay), Some(needle)) = (text(call, 0), text(call, 1)) else {
        return Output::Null;
    };
    let found = memmem::find(&hay, &needle).map(|at| match are_blobs {
        true => at + 1,
        false => hay[..at].iter().filter(|&&byte| !is_inner(byte)).count() + 1,
    });
    Output::Integer(found.unwrap_or(0) as i64)
}

fn replace(call: &Context<'_>) -> rusqlite::Result<Output> {
    let (Some(hay), Some(needle)) = (text(call, 0), text(call, 1)) else {
        return Ok(Output::Null);
    };
    if needle.is_empty() {
        return Ok(Output::Text(hay.into_owned()));
    }
    let Some(with) = text(call, 2) else {
        return Ok(Output::Null);
    };
    let mut out = Vec::with_capacity(hay.len());
    let mut rest = 0;
    for at in memmem::find_iter(&hay, &needle) {
        out.extend_from_slice(&hay[rest..at]);
        out.extend_from_slice(&with);
        rest = at + needle.len();
        if out.len() > DATABASE_RESULT_BYTES_MAX {
            return Err(too_big());
        }
    }
    out.extend_from_slice(&hay[rest..]);
    Ok(Output::Text(out))
}

fn trim(call: &Context<'_>, at_start: bool, at_end: bool) -> rusqlite::Result<Output> {
    let (Some(text), Some(set)) = (text(call, 0), text(call, 1)) else {
        return Ok(Output::Null);
    };
    if set.len() > SQLITE_TRIM_BYTES_MAX {
        return Err(too_big());
    }
    let mut chars = HashSet::new();
    let mut rest = &*set;
    while !rest.is_empty() {
        let (char, behind) = rest.split_at(first_len(rest));
        chars.insert(char);
        rest = behind;
    }
    let mut text = &*text;
    while at_start && !text.is_empty() {
        let (char, behind) = text.split_at(first_len(text));
        if !chars.contains(char) {
            break;
        }
        text = behind;
    }
    while at_end && !text.is_empty() {
        let start = text.iter().rposition(|&byte| !is_inner(byte)).unwrap_or(0);
        if !chars.contains(&text[start..]) {
            break;
        }
        text = &text[..start];
    }
    Ok(Output::Text(text.to_vec()))
}

fn too_big() -> Error {
    let code = ffi::Error::new(ffi::SQLITE_TOOBIG);
    Error::SqliteFailure(code, Some("string or blob too big".to_owned()))
}

/// Whether a byte goes on with a character of UTF-8.
fn is_inner(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Bytes of the first character.
fn first_len(text: &[u8]) -> usize {
    let inner = text[1..].iter().take_while(|&&byte| is_inner(byte));
    1 + inner.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both connections say the same of each.
    #[test]
    fn they_give_what_those_of_sqlite_give() {
        let (ours, theirs) = (
            Connection::open_in_memory().expect("opened"),
            Connection::open_in_memory().expect("opened"),
        );
        install(&ours).expect("installed");
        let values = [
            "null",
            "''",
            "'a'",
            "'aXa'",
            "'aaa'",
            "' é a '",
            "'日本語日'",
            "'日'",
            "'語日'",
            "x'61'",
            "x'ff61'",
            "x''",
            "0",
            "-7",
            "1.5",
            "0.1",
            "100.0",
            "-2.0",
            "123456.75",
            "0.00012",
            "'.'",
            "5",
            "'0'",
        ];
        let mut statements = Vec::new();
        for one in values {
            for other in values {
                for name in ["instr", "trim", "ltrim", "rtrim"] {
                    statements.push(format!("{name}({one}, {other})"));
                }
                for third in ["null", "''", "'Z'", "'日日'", "7", "1.5"] {
                    statements.push(format!("replace({one}, {other}, {third})"));
                }
            }
        }
        for call in statements {
            let sql = format!("select hex({call}), typeof({call})");
            let answer = |conn: &Connection| -> (String, String) {
                let row = conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
                row.expect("a row")
            };
            let (given, wanted) = (answer(&ours), answer(&theirs));
            assert_eq!(given, wanted, "{call}");
        }
    }

    #[test]
    fn numbers_are_written_as_sqlite_does() {
        for (number, want) in [
            (1e100, "1.0e+100"),
            (-1.25e-7, "-1.25e-07"),
            (1e15, "1.0e+15"),
            (123456789012345.0, "123456789012345.0"),
            (0.0001, "0.0001"),
            (0.0, "0.0"),
        ] {
            assert_eq!(real_text(number), want);
        }
    }
}
