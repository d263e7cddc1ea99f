//! Lua values to JSON and back. A table with keys 1..n is a list, any other an object; which of them an empty one is,
//! its metatable tells (`jsonDecode` and `jsonObject` set it), else it is a list, as PHP has it. A table with holes is an
//! object, whatever `#` says of it: the keys decide, and none that is not there is ever looked for.

use mlua::{Lua, LuaString, Table, Value as LuaValue};
use serde_json::{Map, Number, Value};

use crate::limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX, PLUGIN_JSON_BYTES_MAX};
use crate::plugin::meter::Patience;

/// Names in the registry of the metatables that mark objects and lists.
const OBJECT: &str = "jdserver.object";
const LIST: &str = "jdserver.list";

/// Makes the marks. Once for each state.
pub fn install(lua: &Lua) -> mlua::Result<()> {
    for (name, shown) in [(OBJECT, "object"), (LIST, "list")] {
        let mark = lua.create_table()?;
        mark.raw_set("__name", shown)?;
        // Nobody may change what all share.
        mark.raw_set("__metatable", shown)?;
        lua.set_named_registry_value(name, mark)?;
    }
    Ok(())
}

/// Marks a table as an object, also while it is empty. Errors: it has a metatable of its own.
pub fn mark_object(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let is_free = table.metatable().is_none() || is_marked(lua, table, LIST);
    if !is_free && !is_object(lua, table) {
        let text = "jsonObject: the table has a metatable of its own";
        return Err(mlua::Error::runtime(text));
    }
    table.set_metatable(Some(lua.named_registry_value(OBJECT)?))
}

/// Whether a table is marked as an object.
pub fn is_object(lua: &Lua, table: &Table) -> bool {
    is_marked(lua, table, OBJECT)
}

fn is_marked(lua: &Lua, table: &Table, name: &str) -> bool {
    let mark: Option<Table> = lua.named_registry_value(name).ok();
    mark.is_some() && table.metatable() == mark
}

/// Marks a table of ours as a list.
pub fn mark_list(lua: &Lua, table: Table) -> mlua::Result<Table> {
    table.set_metatable(Some(lua.named_registry_value(LIST)?))?;
    Ok(table)
}

/// A JSON value of a Lua value. nil and `null` are null, NaN and infinity too, invalid UTF-8 becomes U+FFFD. Errors:
/// what has no JSON (functions, coroutines, userdata), a cycle or too deep a table, too many values or bytes. Members are
/// sorted by name: Lua keeps no order of its own. Of two with one name (1 and "1"), the text's counts.
pub fn to_json(lua: &Lua, value: &LuaValue) -> Result<Value, String> {
    to_sized_json(lua, value).map(|(value, _)| value)
}

/// The same, and about how many bytes it takes.
pub fn to_sized_json(lua: &Lua, value: &LuaValue) -> Result<(Value, usize), String> {
    let object: Option<Table> = lua.named_registry_value(OBJECT).ok();
    let mut writer = Writer {
        object,
        values: 0,
        bytes: 0,
        patience: Patience::start(),
    };
    let value = writer.value(value, 0)?;
    Ok((value, writer.bytes + writer.values * VALUE_BYTES))
}

/// A value that is no text, and a name's share of a member.
const VALUE_BYTES: usize = 64;

struct Writer {
    object: Option<Table>,
    values: usize,
    /// One text may be in many places.
    bytes: usize,
    /// So may a table, and to look for values in one that was large costs ms.
    patience: Patience,
}

impl Writer {
    fn text(&mut self, text: &LuaString) -> Result<String, String> {
        let too_long = || format!("JSON: more than {PLUGIN_JSON_BYTES_MAX} bytes");
        if self.bytes + text.as_bytes().len() > PLUGIN_JSON_BYTES_MAX {
            return Err(too_long());
        }
        // What is no UTF-8 becomes three times as long.
        let text = text.to_string_lossy();
        self.bytes += text.len();
        match self.bytes > PLUGIN_JSON_BYTES_MAX {
            true => Err(too_long()),
            false => Ok(text),
        }
    }

    fn value(&mut self, value: &LuaValue, depth: usize) -> Result<Value, String> {
        self.values += 1;
        if self.values > JSON_VALUES_MAX {
            return Err(format!("JSON: more than {JSON_VALUES_MAX} values"));
        }
        Ok(match value {
            LuaValue::Boolean(yes) => Value::Bool(*yes),
            LuaValue::Integer(number) => Value::from(*number),
            LuaValue::Number(number) => {
                Number::from_f64(*number).map_or(Value::Null, Value::Number)
            }
            LuaValue::String(text) => Value::String(self.text(text)?),
            LuaValue::Table(table) if depth < JSON_DEPTH_MAX => self.table(table, depth + 1)?,
            LuaValue::Table(_) => {
                return Err(format!(
                    "JSON: tables nested more than {JSON_DEPTH_MAX} deep, or in themselves"
                ));
            }
            value if value.is_nil() || value.is_null() => Value::Null,
            other => return Err(format!("JSON: a {} has none", other.type_name())),
        })
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Value, String> {
        if self.patience.is_over() {
            return Err("JSON: it takes too long".to_owned());
        }
        let is_marked = self.object.is_some() && table.metatable() == self.object;
        let length = table.raw_len();
        if self.values + length > JSON_VALUES_MAX {
            return Err(format!("JSON: more than {JSON_VALUES_MAX} values"));
        }
        if !is_marked && (length > 0 || table.is_empty()) && is_list(table, length)? {
            let mut items = Vec::with_capacity(length);
            for at in 1..=length {
                let item: LuaValue = table.raw_get(at).map_err(|error| error.to_string())?;
                items.push(self.value(&item, depth)?);
            }
            return Ok(Value::Array(items));
        }
        let mut members: Vec<(String, bool, Value)> = Vec::new();
        for pair in table.pairs::<LuaValue, LuaValue>() {
            let (name, value) = pair.map_err(|error| error.to_string())?;
            let is_text = name.is_string();
            let name = match &name {
                LuaValue::String(name) => self.text(name)?,
                LuaValue::Integer(name) => name.to_string(),
                LuaValue::Number(name) => name.to_string(),
                LuaValue::Boolean(name) => name.to_string(),
                other => {
                    let kind = other.type_name();
                    return Err(format!("JSON: a {kind} cannot be a member's name"));
                }
            };
            members.push((name, is_text, self.value(&value, depth)?));
        }
        members.sort_by(|(one, is_text, _), (other, other_is_text, _)| {
            (one, is_text).cmp(&(other, other_is_text))
        });
        let members = members.into_iter().map(|(name, _, value)| (name, value));
        Ok(Value::Object(Map::from_iter(members)))
    }
}

/// Whether the keys are 1 to `length` and no others.
fn is_list(table: &Table, length: usize) -> Result<bool, String> {
    let mut count = 0;
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (key, _) = pair.map_err(|error| error.to_string())?;
        if !matches!(key, LuaValue::Integer(at) if at >= 1 && at as usize <= length) {
            return Ok(false);
        }
        count += 1;
    }
    Ok(count == length)
}

/// A Lua value of a JSON value. A null is `null` in lists and no member in objects; an integer beyond 64 bits is a
/// float.
pub fn from_json(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Null => LuaValue::NULL,
        Value::Bool(yes) => LuaValue::Boolean(*yes),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => LuaValue::Integer(number),
            (None, Some(number)) => LuaValue::Number(number),
            (None, None) => LuaValue::NULL,
        },
        Value::String(text) => LuaValue::String(lua.create_string(text)?),
        Value::Array(items) => {
            let list = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                list.raw_set(at + 1, from_json(lua, item)?)?;
            }
            list.set_metatable(Some(lua.named_registry_value(LIST)?))?;
            LuaValue::Table(list)
        }
        Value::Object(members) => {
            let object = lua.create_table_with_capacity(0, members.len())?;
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                object.raw_set(lua.create_string(name)?, from_json(lua, value)?)?;
            }
            mark_object(lua, &object)?;
            LuaValue::Table(object)
        }
    })
}

/// Text as Lua holds it.
pub fn text(lua: &Lua, text: &str) -> mlua::Result<LuaString> {
    lua.create_string(text)
}

#[cfg(test)]
mod tests;
