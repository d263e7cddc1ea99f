//! The parts of Lua's string functions that are in Rust, for `prelude/string.lua`. Each does a bounded amount
//! of work and says where it is to be called again, so that Lua's hook can interrupt in between.

use std::rc::Rc;

use memchr::memmem;
use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

use super::errors::error_text;
use super::meter::Meter;
use crate::limits::{
    PATTERN_STEPS_PER_CALL, PATTERN_VALUES_PER_CALL, PLUGIN_QUICK_BYTES_MAX, PLUGIN_TEXT_BYTES_MAX,
};
use crate::proto::lua_pattern::{Capture, Found, Matcher, is_plain};

/// Puts `scan`, `scan_many`, `search`, `replace` and `pack_bytes` into the table.
pub fn install(lua: &Lua, host: &Table, meter: &Rc<Meter>) -> mlua::Result<()> {
    let scanning = Rc::clone(meter);
    host.raw_set(
        "scan",
        lua.create_function(move |lua, args| answer(lua, scan(lua, &scanning, args)))?,
    )?;
    let replacing = Rc::clone(meter);
    host.raw_set(
        "replace",
        lua.create_function(move |lua, args| answer(lua, replace(lua, &replacing, args)))?,
    )?;
    let searching = Rc::clone(meter);
    host.raw_set(
        "search",
        lua.create_function(
            move |lua, (text, plain, from): (LuaString, LuaString, usize)| {
                answer(
                    lua,
                    plain_match(lua, &searching, &text.as_bytes(), &plain.as_bytes(), from),
                )
            },
        )?,
    )?;
    let scanning_many = Rc::clone(meter);
    host.raw_set(
        "scan_many",
        lua.create_function(move |lua, args| answer(lua, scan_many(lua, &scanning_many, args)))?,
    )?;
    host.raw_set("pack_bytes", lua.create_function(pack_bytes)?)
}

/// Lua raises the error, which it knows by `true` before it.
fn answer(lua: &Lua, result: Result<MultiValue, String>) -> mlua::Result<MultiValue> {
    match result {
        Ok(values) => Ok(values),
        Err(error) => (true, error).into_lua_multi(lua),
    }
}

/// Text, pattern, where to begin and where the match before ended (offsets; -1: nowhere), and how.
type ScanArgs = (LuaString, LuaString, usize, i64, u8);

/// How to scan for `find`: plain text is taken as such, and a pattern without captures has none. Else the whole match is one.
const FIND: u8 = 0;
/// How to scan for `gmatch`, where `^` is a character like others; anything else is for `match`.
const GMATCH: u8 = 2;

/// Looks for a match: its first and last position, then captures; `nil` where there is none; `false` and an
/// offset where that is where to go on.
fn scan(
    lua: &Lua,
    meter: &Meter,
    (text, pattern, from, last, how): ScanArgs,
) -> Result<MultiValue, String> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    if how == FIND && is_plain(&pattern) {
        return plain_match(lua, meter, &text, &pattern, from);
    }
    let mut matcher = Matcher::new(&text, &pattern, how != GMATCH);
    let (start, end) = match find(lua, meter, &mut matcher, from, usize::try_from(last).ok())? {
        Found::Nothing => return Ok(MultiValue::from_iter([Value::Nil])),
        Found::More(next) => {
            return Ok(MultiValue::from_iter([
                Value::Boolean(false),
                integer(next),
            ]));
        }
        Found::Match(start, end) => (start, end),
    };
    let captures = match how {
        FIND => matcher.captures(),
        _ => matcher.captures().max(1),
    };
    let mut result = MultiValue::with_capacity(2 + captures);
    push_match(lua, &mut result, &text, &matcher, (start, end), captures)?;
    Ok(result)
}

/// Text, pattern, where to begin and where the match before ended (offsets; -1: nowhere), how many matches at most, and
/// whether the first capture of each is enough.
type ScanManyArgs = (LuaString, LuaString, usize, i64, usize, bool);

/// As [`scan`] for `match`, for several matches at once: the offset where to go on or `false`, how many values there are
/// for each match, and these.
fn scan_many(
    lua: &Lua,
    meter: &Meter,
    (text, pattern, mut from, last, count_max, first_only): ScanManyArgs,
) -> Result<MultiValue, String> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let mut matcher = Matcher::new(&text, &pattern, true);
    let mut last = usize::try_from(last).ok();
    let mut result = MultiValue::with_capacity(PATTERN_VALUES_PER_CALL);
    let (mut each, mut next) = (3, Value::Boolean(false));
    for _ in 0..count_max {
        match find(lua, meter, &mut matcher, from, last)? {
            Found::Nothing => break,
            Found::More(more) => {
                next = integer(more);
                break;
            }
            Found::Match(start, end) => {
                let captures = if first_only {
                    1
                } else {
                    matcher.captures().max(1)
                };
                push_match(lua, &mut result, &text, &matcher, (start, end), captures)?;
                each = 2 + captures;
                (from, last) = (end, Some(end));
            }
        }
        if matcher.is_anchored() {
            break;
        }
        if result.len() + each > PATTERN_VALUES_PER_CALL || matcher.steps() > PATTERN_STEPS_PER_CALL
        {
            next = integer(from);
            break;
        }
    }
    result.push_front(integer(each));
    result.push_front(next);
    Ok(result)
}

/// One turn of looking for a match. Errors: the pattern's, and the end of the task.
fn find(
    lua: &Lua,
    meter: &Meter,
    matcher: &mut Matcher<'_>,
    from: usize,
    last: Option<usize>,
) -> Result<Found, String> {
    let found = matcher.find(from, last, PATTERN_STEPS_PER_CALL);
    if matcher.steps() > PATTERN_STEPS_PER_CALL / 8 || matches!(found, Ok(Found::More(_))) {
        meter.check(lua)?;
    }
    found.map_err(|error| error.to_string())
}

fn push_match(
    lua: &Lua,
    result: &mut MultiValue,
    text: &[u8],
    matcher: &Matcher<'_>,
    (start, end): (usize, usize),
    captures: usize,
) -> Result<(), String> {
    result.push_back(integer(start + 1));
    result.push_back(integer(end));
    for index in 0..captures {
        let capture = matcher
            .capture(index, start, end)
            .map_err(|error| error.to_string())?;
        result.push_back(match capture {
            Capture::Position(at) => integer(at + 1),
            Capture::Text(from, to) => string(lua, &text[from..to])?,
        });
    }
    Ok(())
}

fn integer(value: usize) -> Value {
    Value::Integer(value as i64)
}

fn string(lua: &Lua, text: &[u8]) -> Result<Value, String> {
    lua.create_string(text)
        .map(Value::String)
        .map_err(|error| error_text(&error))
}

/// Plain text in linear time, which C's search does not take: its first and last position, or `nil`.
fn plain_match(
    lua: &Lua,
    meter: &Meter,
    text: &[u8],
    plain: &[u8],
    from: usize,
) -> Result<MultiValue, String> {
    let found = text.get(from..).and_then(|rest| memmem::find(rest, plain));
    if text.len() > PLUGIN_QUICK_BYTES_MAX {
        meter.check(lua)?;
    }
    Ok(match found {
        None => MultiValue::from_iter([Value::Nil]),
        Some(at) => {
            MultiValue::from_iter([integer(from + at + 1), integer(from + at + plain.len())])
        }
    })
}

/// Text, pattern, replacement, where to begin and where the match before ended (offsets; -1: nowhere), and how
/// many to replace.
type ReplaceArgs = (LuaString, LuaString, LuaString, usize, i64, i64);

/// Replaces matches by text: what became of the part looked at, how many were replaced, and unless that was
/// all, where to go on and where the last match ended.
fn replace(
    lua: &Lua,
    meter: &Meter,
    (text, pattern, replacement, mut at, last, count_max): ReplaceArgs,
) -> Result<MultiValue, String> {
    let (text, pattern, replacement) =
        (text.as_bytes(), pattern.as_bytes(), replacement.as_bytes());
    let mut matcher = Matcher::new(&text, &pattern, true);
    let mut last = usize::try_from(last).ok();
    let mut count = 0;
    let mut result = Vec::new();
    let each = 4 + replacement.len() as u64 / 4;
    while count < count_max {
        match find(lua, meter, &mut matcher, at, last)? {
            Found::Nothing => break,
            Found::More(next) => {
                result.extend_from_slice(&text[at..next]);
                return go_on(lua, &result, count, next, last);
            }
            Found::Match(start, end) => {
                result.extend_from_slice(&text[at..start]);
                expand(&mut result, &replacement, &text, &matcher, (start, end))?;
                (at, last) = (end, Some(end));
            }
        }
        count += 1;
        if matcher.is_anchored() {
            break;
        }
        if matcher.steps() + each * count as u64 + result.len() as u64 / 16 > PATTERN_STEPS_PER_CALL
        {
            meter.check(lua)?;
            return go_on(lua, &result, count, at, last);
        }
    }
    result.extend_from_slice(&text[at..]);
    Ok(MultiValue::from_iter([
        string(lua, &result)?,
        Value::Integer(count),
    ]))
}

fn go_on(
    lua: &Lua,
    result: &[u8],
    count: i64,
    at: usize,
    last: Option<usize>,
) -> Result<MultiValue, String> {
    let last = last.map_or(Value::Integer(-1), integer);
    Ok(MultiValue::from_iter([
        string(lua, result)?,
        Value::Integer(count),
        integer(at),
        last,
    ]))
}

/// `%1` and the like of a replacement.
fn expand(
    result: &mut Vec<u8>,
    replacement: &[u8],
    text: &[u8],
    matcher: &Matcher<'_>,
    (start, end): (usize, usize),
) -> Result<(), String> {
    let mut rest = replacement;
    while let Some(escape) = memchr::memchr(b'%', rest) {
        result.extend_from_slice(&rest[..escape]);
        match rest.get(escape + 1) {
            Some(b'%') => result.push(b'%'),
            Some(b'0') => result.extend_from_slice(&text[start..end]),
            Some(digit @ b'1'..=b'9') => {
                let capture = matcher.capture(usize::from(digit - b'1'), start, end);
                match capture.map_err(|error| error.to_string())? {
                    Capture::Text(from, to) => result.extend_from_slice(&text[from..to]),
                    Capture::Position(at) => {
                        result.extend_from_slice((at + 1).to_string().as_bytes())
                    }
                }
            }
            _ => return Err("invalid use of '%' in replacement string".to_owned()),
        }
        rest = &rest[escape + 2..];
        if result.len() > PLUGIN_TEXT_BYTES_MAX {
            return Err("resulting string too large".to_owned());
        }
    }
    result.extend_from_slice(rest);
    Ok(())
}

/// At least what the sizes in a format of `string.pack` add up to; C would fill them byte by byte.
fn pack_bytes(_: &Lua, format: LuaString) -> mlua::Result<usize> {
    let mut sum = format.as_bytes().len();
    let mut number = 0_usize;
    for byte in format.as_bytes().iter().chain(b" ") {
        if byte.is_ascii_digit() {
            number = number
                .saturating_mul(10)
                .saturating_add(usize::from(byte - b'0'));
        } else {
            sum = sum.saturating_add(std::mem::take(&mut number));
        }
    }
    Ok(sum)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
