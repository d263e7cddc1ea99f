//! What the Lua of `api/` needs from Rust: parameters in their types, JSON, checks. Errors come back as values, for Lua to raise.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value as LuaValue};
use serde_json::Value;

use crate::call::error::CallError;
use crate::call::param;
use crate::call::source::escape;
use crate::plugin::sandbox::Sandbox;
use crate::plugin::values;
use crate::proto::form::Field;
use crate::proto::{json, token};

/// Calls of the daemon: a plugin cannot answer them.
pub(super) const RESERVED: [&str; 15] = [
    "push",
    "getUsers",
    "getMsg",
    "stat",
    "conf",
    "reload",
    "batch",
    "setTimeout",
    "metrics",
    "healthz",
    "statHistory",
    "logTail",
    "settings",
    "apps",
    "manual",
];

/// Headers of a response that are ours: they frame it, or say who answers.
const OUR_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A table of the functions.
pub(super) fn functions(sandbox: &Sandbox, zone: &TimeZone) -> mlua::Result<Table> {
    let lua = sandbox.lua();
    let table = lua.create_table()?;
    table.raw_set("null", LuaValue::NULL)?;
    table.raw_set(
        "encode",
        sandbox.function("jsonEncode", |lua, value: LuaValue| {
            let mut text = Vec::new();
            json::write(&mut text, &values::to_json(lua, &value)?);
            lua.create_string(&text).map_err(|error| error.to_string())
        })?,
    )?;
    table.raw_set(
        "decode",
        sandbox.function("jsonDecode", |lua, text: String| {
            // What is no JSON is nothing.
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            values::from_json(lua, &value).map_err(|error| error.to_string())
        })?,
    )?;
    table.raw_set(
        "escape",
        sandbox.function("escape", |_, text: String| Ok(escape(&text).into_owned()))?,
    )?;
    table.raw_set(
        "parameter",
        sandbox.function("param", |lua, spec: String| match param::parse(&spec) {
            Ok((name, _)) => multi(lua, (true, name)),
            Err(error) => refused(lua, error),
        })?,
    )?;
    let zone = zone.clone();
    table.raw_set(
        "convert",
        sandbox.function("param", move |lua, (spec, value): (String, LuaValue)| {
            let value = values::to_json(lua, &value)?;
            let field = match value {
                Value::String(text) => Field::Text(Cow::Owned(text)),
                value => Field::Json(value),
            };
            let converted = param::parse(&spec)
                .and_then(|(name, kind)| param::convert(name, &kind, &field, &zone));
            match converted {
                Ok(value) => {
                    let value =
                        values::from_json(lua, &value).map_err(|error| error.to_string())?;
                    multi(lua, (true, value))
                }
                Err(error) => refused(lua, error),
            }
        })?,
    )?;
    table.raw_set(
        "checkHeader",
        sandbox.function("header", |lua, (name, value): (String, mlua::LuaString)| {
            match check_header(&name, &value.as_bytes()) {
                Ok(()) => multi(lua, true),
                Err(why) => multi(lua, (false, why)),
            }
        })?,
    )?;
    Ok(table)
}

fn check_header(name: &str, value: &[u8]) -> Result<(), String> {
    if !token::is_token(name.as_bytes()) {
        return Err("expected a name such as X-Total".to_owned());
    }
    if OUR_HEADERS.iter().any(|our| our.eq_ignore_ascii_case(name)) {
        return Err(format!("{name} is written by the daemon itself"));
    }
    let is_text = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    match value.iter().all(is_text) && str::from_utf8(value).is_ok() {
        true => Ok(()),
        false => Err(format!(
            "{name}: a value holds no line ends or control characters"
        )),
    }
}

fn refused(lua: &Lua, error: CallError) -> Result<MultiValue, String> {
    let CallError {
        code,
        message,
        detail,
    } = error;
    multi(
        lua,
        (false, code, message.into_owned(), detail.into_owned()),
    )
}

fn multi(lua: &Lua, values: impl IntoLuaMulti) -> Result<MultiValue, String> {
    values
        .into_lua_multi(lua)
        .map_err(|error| error.to_string())
}
