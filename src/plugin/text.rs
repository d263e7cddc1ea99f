//! The parts of Lua's string functions that are in Rust, for `prelude/string.lua`. Each does a bounded amount
//! of work and says where it is to be called again, so that Lua's hook can interrupt in between.

use std::rc::Rc;

use memchr::memmem;
use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

use super::meter::Meter;
use super::pattern::{Capture, Found, Matcher, is_plain};
use crate::limits::{PATTERN_STEPS_PER_CALL, PLUGIN_TEXT_BYTES_MAX};

/// Puts `scan`, `search`, `replace` and `pack_fits` into the table.
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
    host.raw_set("search", lua.create_function(search)?)?;
    host.raw_set(
        "is_plain",
        lua.create_function(|_, pattern: LuaString| Ok(is_plain(&pattern.as_bytes())))?,
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

/// Text, pattern, where to begin and where the match before ended (offsets; -1: nowhere), whether `^` anchors,
/// and whether there is a capture where the pattern has none.
type ScanArgs = (LuaString, LuaString, usize, i64, bool, bool);

/// Looks for a match: its first and last position, then captures; `nil` where there is none; `false` and an
/// offset where that is where to go on.
fn scan(
    lua: &Lua,
    meter: &Meter,
    (text, pattern, from, last, anchors, whole): ScanArgs,
) -> Result<MultiValue, String> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let mut matcher = Matcher::new(&text, &pattern, anchors);
    let found = matcher.find(from, usize::try_from(last).ok(), PATTERN_STEPS_PER_CALL);
    meter.check(lua)?;
    let (start, end) = match found.map_err(|error| error.to_string())? {
        Found::Nothing => return values(lua, Value::Nil),
        Found::More(next) => return values(lua, (false, next)),
        Found::Match(start, end) => (start, end),
    };
    let captures = if whole {
        matcher.captures().max(1)
    } else {
        matcher.captures()
    };
    let mut result = MultiValue::with_capacity(2 + captures);
    result.push_back(Value::Integer(start as i64 + 1));
    result.push_back(Value::Integer(end as i64));
    for index in 0..captures {
        let capture = matcher
            .capture(index, start, end)
            .map_err(|error| error.to_string())?;
        result.push_back(match capture {
            Capture::Position(at) => Value::Integer(at as i64 + 1),
            Capture::Text(from, to) => {
                let capture = lua.create_string(&text[from..to]);
                Value::String(capture.map_err(|error| super::sandbox::error_text(&error))?)
            }
        });
    }
    Ok(result)
}

fn values(lua: &Lua, values: impl IntoLuaMulti) -> Result<MultiValue, String> {
    values
        .into_lua_multi(lua)
        .map_err(|error| super::sandbox::error_text(&error))
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
    let mut steps = 0;
    while count < count_max {
        let found = matcher.find(at, last, PATTERN_STEPS_PER_CALL);
        let (start, end) = match found.map_err(|error| error.to_string())? {
            Found::Match(start, end) => (start, end),
            Found::Nothing => break,
            Found::More(next) => {
                result.extend_from_slice(&text[at..next]);
                meter.check(lua)?;
                return go_on(lua, &result, count, next, last);
            }
        };
        count += 1;
        steps += matcher.steps() + (end - at) as u64 / 16 + 4;
        result.extend_from_slice(&text[at..start]);
        expand(&mut result, &replacement, &text, &matcher, (start, end))?;
        if result.len() > PLUGIN_TEXT_BYTES_MAX {
            return Err("resulting string too large".to_owned());
        }
        (at, last) = (end, Some(end));
        if matcher.is_anchored() {
            break;
        }
        if steps + result.len() as u64 / 16 > PATTERN_STEPS_PER_CALL {
            meter.check(lua)?;
            return go_on(lua, &result, count, at, last);
        }
    }
    meter.check(lua)?;
    result.extend_from_slice(&text[at..]);
    let result = lua
        .create_string(&result)
        .map_err(|error| super::sandbox::error_text(&error))?;
    values(lua, (result, count))
}

fn go_on(
    lua: &Lua,
    result: &[u8],
    count: i64,
    at: usize,
    last: Option<usize>,
) -> Result<MultiValue, String> {
    let result = lua
        .create_string(result)
        .map_err(|error| super::sandbox::error_text(&error))?;
    let last = last.map_or(-1, |last| last as i64);
    values(lua, (result, count, at, last))
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
                match capture.map_err(|error| format!("{error} in replacement string"))? {
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

/// Where plain text is, in linear time, which C's search does not take: its first position.
fn search(
    _: &Lua,
    (text, plain, from): (LuaString, LuaString, usize),
) -> mlua::Result<Option<usize>> {
    let (text, plain) = (text.as_bytes(), plain.as_bytes());
    let Some(rest) = text.get(from..) else {
        return Ok(None);
    };
    Ok(memmem::find(rest, &plain).map(|at| from + at + 1))
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
