//! Names in the SQL that `dbInsert` and `dbUpdate` make.

use mlua::{Lua, Table, Value};

use crate::limits::{SQL_NAME_BYTES_MAX, SQL_VALUES_MAX};
use crate::plugin::sandbox::{Sandbox, error_text};

/// Puts functions for `db.lua` into `host`.
pub(super) fn install(sandbox: &Sandbox, host: &Table) -> mlua::Result<()> {
    let name = |_: &Lua, name: Value| match &name {
        Value::String(name) => quoted(&name.to_string_lossy()),
        other => Err(format!(
            "expected a table's or column's name, got {}",
            other.type_name()
        )),
    };
    host.raw_set("sqlName", sandbox.function("sqlName", name)?)?;
    let sorted = |_: &Lua, row: Table| sorted_names(&row);
    host.raw_set("sortedNames", sandbox.function("sortedNames", sorted)?)
}

/// A name in backticks, which SQLite reads too; `db.table` in two pairs. Error: one with other than letters, digits
/// and `_`.
fn quoted(name: &str) -> Result<String, String> {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c == '_' || c.is_alphanumeric())
    };
    if name.len() > SQL_NAME_BYTES_MAX || !name.split('.').all(is_name) {
        let shown = crate::proto::logtext::log_text(name, 64);
        return Err(format!(
            "`{shown}`: expected a table's or column's name, letters, digits and _"
        ));
    }
    Ok(format!("`{}`", name.replace('.', "`.`")))
}

/// So that the same statement is made each time.
fn sorted_names(row: &Table) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for pair in row.pairs::<Value, Value>() {
        let (name, _) = pair.map_err(|error| error_text(&error))?;
        let Value::String(name) = name else {
            return Err(format!(
                "expected columns by name, got a {}",
                name.type_name()
            ));
        };
        names.push(name.to_string_lossy());
        if names.len() > SQL_VALUES_MAX {
            return Err(format!("more than {SQL_VALUES_MAX} columns"));
        }
    }
    names.sort();
    Ok(names)
}
