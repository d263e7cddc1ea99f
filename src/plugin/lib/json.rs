//! `jsonEncode`, `jsonDecode`, `jsonObject`.

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};
use serde::Serialize as _;
use serde_json::ser::PrettyFormatter;

use crate::limits::{JSON_VALUES_MAX, PLUGIN_TEXT_BYTES_MAX};
use crate::plugin::lib::text::new_text;
use crate::plugin::sandbox::{Sandbox, error_text};
use crate::plugin::values;
use crate::proto::json;

/// Puts the functions into both tables.
pub(super) fn install(sandbox: &Sandbox, host: &Table, globals: &Table) -> mlua::Result<()> {
    let encode = sandbox.function("jsonEncode", encode)?;
    host.raw_set("jsonEncode", &encode)?;
    globals.raw_set("jsonEncode", encode)?;
    let decode = sandbox.function("jsonDecode", decode)?;
    host.raw_set("jsonDecode", &decode)?;
    globals.raw_set("jsonDecode", decode)?;
    let mark = sandbox.function("jsonObject", |lua, table: Option<Table>| {
        mark_object(lua, table).map_err(|error| error_text(&error))
    })?;
    host.raw_set("markObject", &mark)?;
    globals.raw_set("jsonObject", mark)?;
    let is_object = sandbox.function("isObject", |lua, table: Table| {
        Ok(values::is_object(lua, &table))
    })?;
    host.raw_set("isObject", is_object)
}

/// `jsonEncode(value, pretty?)`: JSON as answers have it. A table with keys 1 to n is a list, and so is an empty one unless
/// `jsonObject` or `jsonDecode` made it an object; members are sorted by name; `null` is null, so are NaN and infinity. Errors: what has no
/// JSON (a function), a table in itself, more than 50,000 values.
/// Example: `jsonEncode({ id = 1, list = { 1, 2 } })`.
fn encode(lua: &Lua, (value, pretty): (Value, Option<bool>)) -> Result<LuaString, String> {
    let value = values::to_json(lua, &value)?;
    let mut out = Vec::new();
    if pretty == Some(true) {
        let formatter = PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
        value
            .serialize(&mut writer)
            .map_err(|error| error.to_string())?;
    } else {
        json::write(&mut out, &value);
    }
    new_text(lua, &out, "jsonEncode")
}

/// `jsonDecode(text)`: its value; nil and what is wrong where it is no JSON, nil for null. A null in a list is `null`, in an
/// object no member.
/// Example: `jsonDecode('{"id":1}').id`.
fn decode(lua: &Lua, text: LuaString) -> Result<MultiValue, String> {
    let text = text.as_bytes();
    let too_long = text.len() > PLUGIN_TEXT_BYTES_MAX;
    let results = if too_long || json::has_more_values(&text, JSON_VALUES_MAX) {
        let why = format!("more than {JSON_VALUES_MAX} values, or too long");
        (Value::Nil, why).into_lua_multi(lua)
    } else {
        match serde_json::from_slice::<serde_json::Value>(&text) {
            Ok(serde_json::Value::Null) => Value::Nil.into_lua_multi(lua),
            Ok(value) => values::from_json(lua, &value).and_then(|value| value.into_lua_multi(lua)),
            Err(error) => (Value::Nil, error.to_string()).into_lua_multi(lua),
        }
    };
    results.map_err(|error| error_text(&error))
}

/// `jsonObject(t?)`: marks a table, or a new one, so that it is an object also while it is empty, and returns it.
/// Example: `return jsonObject({})`.
fn mark_object(lua: &Lua, table: Option<Table>) -> mlua::Result<Table> {
    let table = match table {
        Some(table) => table,
        None => lua.create_table()?,
    };
    values::mark_object(lua, &table)?;
    Ok(table)
}
