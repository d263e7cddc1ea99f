//! `env:param`: what [`crate::call::param`] makes of a member of the query's or the body's table.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value};

use crate::call::error::CallError;
use crate::call::param::{self, Type};
use crate::call::source::escape;
use crate::plugin::sandbox::{Sandbox, error_text};
use crate::plugin::values;
use crate::proto::form::Field;

/// Puts `param` and `missing` into `host`.
pub(super) fn install(sandbox: &Sandbox, host: &Table, zone: &TimeZone) -> mlua::Result<()> {
    let zone = zone.clone();
    let read = sandbox.function(
        "param",
        move |lua, (query, body, escapes, spec): (Value, Value, bool, LuaString)| {
            let spec = spec.to_string_lossy();
            let sources = [query, body];
            match read(lua, &sources, escapes, &spec, &zone)? {
                Ok(value) => value.into_lua_multi(lua),
                Err(error) => {
                    (Value::Nil, error.code, &*error.detail, &*error.message).into_lua_multi(lua)
                }
            }
            .map_err(|error| error_text(&error))
        },
    )?;
    host.raw_set("param", read)?;
    let missing = sandbox.function("missing", |_, specs: Vec<String>| {
        let names: Vec<&str> = specs
            .iter()
            .map(|spec| spec.split('/').next().unwrap_or_default())
            .collect();
        let error = match *names {
            [name] => CallError::missing(name),
            _ => param::missing_any(&names),
        };
        Ok((
            error.code,
            error.detail.into_owned(),
            error.message.into_owned(),
        ))
    })?;
    host.raw_set("missing", missing)
}

/// The value; nil where it is missing. The outer error is the plugin's, the inner one the caller's fault.
fn read(
    lua: &Lua,
    sources: &[Value],
    escapes: bool,
    spec: &str,
    zone: &TimeZone,
) -> Result<Result<Value, CallError>, String> {
    let (name, kind) = match param::parse(spec) {
        Ok(parsed) => parsed,
        Err(error) => return Err(error.detail.into_owned()),
    };
    let mut given = Value::Nil;
    for source in sources {
        if let Value::Table(members) = source {
            given = members.raw_get(name).map_err(|error| error_text(&error))?;
        }
        if !given.is_nil() && !given.is_null() {
            break;
        }
    }
    let field = match &given {
        value if value.is_nil() || value.is_null() => return Ok(Ok(Value::Nil)),
        Value::String(text) if text.as_bytes().is_empty() => return Ok(Ok(Value::Nil)),
        Value::String(text) => {
            let text = text.to_string_lossy();
            let text = match kind {
                Type::Text if escapes => escape(&text).into_owned(),
                _ => text,
            };
            Field::Text(Cow::Owned(text))
        }
        // Without a type it is what it is, as in the original.
        _ if kind == Type::Text && !spec.contains('/') => return Ok(Ok(given)),
        other => Field::Json(values::to_json(lua, other)?),
    };
    match param::convert(name, &kind, &field, zone) {
        Ok(value) => values::from_json(lua, &value)
            .map(Ok)
            .map_err(|error| error_text(&error)),
        Err(error) => Ok(Err(error)),
    }
}
