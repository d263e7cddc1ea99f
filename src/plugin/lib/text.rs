//! Functions on texts: words, forms, SQL literals, random ones, booleans.

use mlua::{Lua, LuaString, Table, Value};
use ring::rand::{SecureRandom, SystemRandom};

use crate::call::param::parse_bool;
use crate::limits::{PLUGIN_RANDOM_CHARS_MAX, PLUGIN_TEXT_BYTES_MAX};
use crate::plugin::sandbox::Sandbox;
use crate::plugin::values;
use crate::proto::query;

/// Puts functions for plugins into `globals`, those for our own Lua into `host`.
pub(super) fn install(sandbox: &Sandbox, host: &Table, globals: &Table) -> mlua::Result<()> {
    let url_encode = sandbox.function("urlEncodeArr", url_encode)?;
    host.raw_set("urlEncodeArr", &url_encode)?;
    globals.raw_set("urlEncodeArr", url_encode)?;
    globals.raw_set("randChr", sandbox.function("randChr", random)?)?;
    globals.raw_set("tobool", sandbox.function("tobool", to_bool)?)?;
    let in_text = |_: &Lua, (word, set): (LuaString, LuaString)| {
        Ok(in_text(&word.to_string_lossy(), &set.to_string_lossy()))
    };
    host.raw_set("inText", sandbox.function("inSet", in_text)?)?;
    let quote = |lua: &Lua, text: LuaString| new_text(lua, quote(&text.as_bytes()).as_bytes(), "Q");
    host.raw_set("quote", sandbox.function("Q", quote)?)
}

/// `urlEncodeArr(params)`: a table as a query string, as PHP's http_build_query writes it: `a%5B0%5D=1`, no nulls.
/// Example: `urlEncodeArr({ a = 1, b = "x y" })` gives `a=1&b=x+y`.
fn url_encode(lua: &Lua, params: Table) -> Result<LuaString, String> {
    let value = values::to_json(lua, &Value::Table(params))?;
    match query::build(&value, PLUGIN_TEXT_BYTES_MAX) {
        Some(text) => new_text(lua, &text, "urlEncodeArr"),
        None => Err("urlEncodeArr: the result would be too long".to_owned()),
    }
}

/// `randChr(n, kind?)`: n random characters fit for secrets: letters and digits, or with kind `"d"` digits.
/// Example: `randChr(16)`.
fn random(_: &Lua, (count, kind): (usize, Option<LuaString>)) -> Result<String, String> {
    if count > PLUGIN_RANDOM_CHARS_MAX {
        return Err(format!(
            "randChr: expected at most {PLUGIN_RANDOM_CHARS_MAX} characters"
        ));
    }
    let letters: &[u8] = match kind.as_ref().map(|kind| kind.as_bytes()).as_deref() {
        None | Some(b"w") => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        Some(b"d") => b"0123456789",
        Some(_) => {
            return Err("randChr: expected w for letters and digits, or d for digits".into());
        }
    };
    // A byte beyond the last whole run of letters would favour the first ones.
    let fair = 256 - 256 % letters.len();
    let random = SystemRandom::new();
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    while text.len() < count {
        random
            .fill(&mut bytes)
            .map_err(|_| "randChr: the system has no randomness".to_owned())?;
        let fitting = bytes.iter().filter(|byte| usize::from(**byte) < fair);
        let chars = fitting.map(|byte| char::from(letters[usize::from(*byte) % letters.len()]));
        text.extend(chars.take(count - text.len()));
    }
    Ok(text)
}

/// `tobool(value)`: 1 true on yes are true, 0 false off no and nil false, in any case. Error: anything else.
/// Example: `tobool(getConf("my_flag"))`.
fn to_bool(_: &Lua, value: Value) -> Result<bool, String> {
    let read = match &value {
        Value::Nil => Some(false),
        Value::Boolean(yes) => Some(*yes),
        Value::Integer(0) => Some(false),
        Value::Integer(1) => Some(true),
        Value::String(text) => parse_bool(&text.to_string_lossy()),
        other if other.is_null() => Some(false),
        _ => None,
    };
    read.ok_or_else(|| "tobool: expected 1 true on yes, or 0 false off no".to_owned())
}

/// Whether a word is among those of a text; whatever is no letter, digit or `_` stands between words.
fn in_text(word: &str, set: &str) -> bool {
    let is_between = |c: char| !(c == '_' || c.is_alphanumeric());
    !word.is_empty() && (word == set || set.split(is_between).any(|other| other == word))
}

/// Text as a literal that SQLite and MySQL read alike: a backslash, which only the latter escapes by, and NUL are
/// told by their codes.
fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.bytes().any(|byte| byte == b'\\' || byte == 0) {
        let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        return format!("CAST(X'{hex}' AS CHAR)");
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// A text of the state, where there is memory for it.
pub(super) fn new_text(lua: &Lua, text: &[u8], name: &str) -> Result<LuaString, String> {
    if text.len() > PLUGIN_TEXT_BYTES_MAX {
        return Err(format!("{name}: the result would be too long"));
    }
    lua.create_string(text)
        .map_err(|error| crate::plugin::sandbox::error_text(&error))
}
