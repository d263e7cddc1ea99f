//! What operations take from Lua, and give it. Never runs any Lua.

use mlua::{FromLuaMulti, IntoLuaMulti, Lua, MultiValue, Table, Value};

use crate::limits::{PLUGIN_JSON_BYTES_MAX, SQL_VALUES_MAX};
use crate::message::database::{DatabaseAnswer, DatabaseDone, SqlValue};
use crate::plugin::http::HttpOutcome;
use crate::plugin::purpose::Resume;
use crate::plugin::values::mark_object;

/// The values of a statement, `n` of them where the list says so, for nil may be one; and how many bytes they take.
pub(super) fn sql_values(list: &Table) -> Result<(Vec<SqlValue>, usize), String> {
    let count = match list.raw_get::<Option<usize>>("n") {
        Ok(Some(n)) => n.min(SQL_VALUES_MAX),
        _ => list.raw_len(),
    };
    if count > SQL_VALUES_MAX {
        return Err(format!(
            "more than {SQL_VALUES_MAX} values for one statement"
        ));
    }
    let mut bytes = count * size_of::<SqlValue>();
    let values = (1..=count).map(|at| {
        let value = list.raw_get::<Value>(at);
        if let Ok(Value::String(text)) = &value {
            bytes += text.as_bytes().len();
            // One text may be in many places.
            if bytes > PLUGIN_JSON_BYTES_MAX {
                return Err(format!(
                    "more than {PLUGIN_JSON_BYTES_MAX} bytes of values for one statement"
                ));
            }
        }
        match value {
            Ok(Value::Boolean(yes)) => Ok(SqlValue::Integer(yes.into())),
            Ok(Value::Integer(number)) => Ok(SqlValue::Integer(number)),
            Ok(Value::Number(number)) => Ok(SqlValue::Real(number)),
            Ok(Value::String(text)) => Ok(match text.to_str() {
                Ok(text) => SqlValue::Text((*text).into()),
                Err(_) => SqlValue::Blob((*text.as_bytes()).into()),
            }),
            Ok(value) if value.is_nil() || value.is_null() => Ok(SqlValue::Null),
            Ok(other) => Err(format!(
                "value {at} of a statement: expected text or a number, not a {}",
                other.type_name()
            )),
            Err(error) => Err(error.to_string()),
        }
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    Ok((values, bytes))
}

/// What a statement gave: true, rows as objects by column and the number of columns; or true, rows changed and the id made;
/// or false and why.
pub(super) fn database_values(lua: &Lua, outcome: DatabaseDone) -> Resume {
    let make = || match outcome {
        Err(why) => (false, &*why).into_lua_multi(lua),
        Ok(DatabaseAnswer::Ended) => true.into_lua_multi(lua),
        Ok(DatabaseAnswer::Changed { rows, insert_id }) => {
            (true, rows, insert_id).into_lua_multi(lua)
        }
        Ok(DatabaseAnswer::Rows { columns, rows }) => {
            let names = columns
                .iter()
                .map(|name| lua.create_string(&**name))
                .collect::<mlua::Result<Vec<_>>>()?;
            let list = lua.create_table_with_capacity(rows.len(), 0)?;
            for (at, row) in rows.into_iter().enumerate() {
                let object = lua.create_table_with_capacity(0, names.len())?;
                for (name, value) in names.iter().zip(row) {
                    let value = match value {
                        SqlValue::Null => Value::Nil,
                        SqlValue::Integer(number) => Value::Integer(number),
                        SqlValue::Real(number) => Value::Number(number),
                        SqlValue::Text(text) => Value::String(lua.create_string(&*text)?),
                        SqlValue::Blob(bytes) => Value::String(lua.create_string(&*bytes)?),
                    };
                    object.raw_set(name, value)?;
                }
                mark_object(lua, &object)?;
                list.raw_set(at + 1, object)?;
            }
            (true, list, names.len()).into_lua_multi(lua)
        }
    };
    make().map_err(|error| error.to_string())
}

/// A list of `{status, body}` or `{error}`.
pub(super) fn http_values(lua: &Lua, outcomes: Vec<HttpOutcome>) -> Resume {
    let make = || {
        let list = lua.create_table_with_capacity(outcomes.len(), 0)?;
        for (at, outcome) in outcomes.iter().enumerate() {
            let entry = lua.create_table()?;
            match outcome {
                Ok((status, body)) => {
                    entry.raw_set("status", *status)?;
                    entry.raw_set("body", lua.create_string(body)?)?;
                }
                Err(why) => entry.raw_set("error", &**why)?,
            }
            list.raw_set(at + 1, entry)?;
        }
        list.into_lua_multi(lua)
    };
    make().map_err(|error| error.to_string())
}

/// Values for Lua, or the error that there is no memory for them.
pub(super) fn values(lua: &Lua, values: impl IntoLuaMulti) -> Resume {
    values
        .into_lua_multi(lua)
        .map_err(|error| error.to_string())
}

/// The arguments of an operation, as our own Lua gives them.
pub(super) fn take<T: FromLuaMulti>(arguments: MultiValue, lua: &Lua) -> Result<T, String> {
    T::from_lua_multi(arguments, lua).map_err(|error| error.to_string())
}
