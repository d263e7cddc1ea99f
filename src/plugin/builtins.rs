//! What is in a state before any plugin: our own Lua, and what that needs from Rust. Functions in Rust return their
//! errors, for Lua to raise with a place.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, IntoLua, Lua, LuaString, Table, Value};

use super::errors::error_text;
use super::meter::{Meter, OVER, place};
use super::sandbox::Modules;
use super::text;
use crate::limits::{PLUGIN_ARGUMENTS_MAX, PLUGIN_QUICK_BYTES_MAX, PLUGIN_TEXT_BYTES_MAX};

/// Compiles Lua text of plugins, never bytecode. Errors: `FILE:LINE: MESSAGE`.
pub fn compile(lua: &Lua, name: &str, source: &[u8]) -> Result<Function, String> {
    let source = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    lua.load(source)
        .set_name(format!("@{name}"))
        .set_mode(ChunkMode::Text)
        .into_function()
        .map_err(|error| match error {
            mlua::Error::SyntaxError { .. } => error_text(&error),
            other => format!("{name}: {}", error_text(&other)),
        })
}

/// Our own Lua; tracebacks show it as `[NAME]`.
pub fn trusted(lua: &Lua, name: &str, source: &str, environment: Table) -> mlua::Result<Function> {
    lua.load(source)
        .set_name(format!("=[{name}]"))
        .set_mode(ChunkMode::Text)
        .set_environment(environment)
        .into_function()
}

/// Runs our own Lua, which fills `globals`; what it returns is for us.
pub fn run_prelude(lua: &Lua, raw: &Table, host: &Table, globals: &Table) -> mlua::Result<Table> {
    const PARTS: [(&str, &str); 4] = [
        ("base", include_str!("prelude/base.lua")),
        ("coroutine", include_str!("prelude/coroutine.lua")),
        ("string", include_str!("prelude/string.lua")),
        ("table", include_str!("prelude/table.lua")),
    ];
    // Nothing of ours may look up a global: plugins could change it.
    let nothing = lua.create_table()?;
    let ours = lua.create_table()?;
    for (name, source) in PARTS {
        trusted(lua, name, source, nothing.clone())?.call::<()>((raw, host, globals, &ours))?;
    }
    Ok(ours)
}

/// `("x"):rep(3)` keeps working: what `getmetatable("")` gives is not what strings use.
pub fn lock_strings(lua: &Lua, globals: &Table, ours: &Table) -> mlua::Result<()> {
    if let Some(metatable) = lua.type_metatable::<LuaString>() {
        let arithmetic: Table = ours.raw_get("arithmetic")?;
        arithmetic.for_each(|name: Value, function: Value| metatable.raw_set(name, function))?;
        let shown = lua.create_table()?;
        shown.raw_set("__index", globals.raw_get::<Table>("string")?)?;
        metatable.raw_set("__index", globals.raw_get::<Table>("string")?)?;
        metatable.raw_set("__metatable", shown)?;
    }
    Ok(())
}

/// Notes where an error was that nobody catches; it stays what it is.
pub fn catcher(
    lua: &Lua,
    meter: &Rc<Meter>,
    traceback: Rc<RefCell<Option<String>>>,
) -> mlua::Result<Function> {
    let meter = Rc::clone(meter);
    lua.create_function(move |lua, error: Value| {
        if meter.is_over() {
            return Ok(error);
        }
        let error = blame(lua, error)?;
        let text = error.is_string().then(|| lua.traceback(None, 1).ok());
        traceback.replace(text.flatten().map(|text| text.to_string_lossy()));
        Ok(error)
    })
}

/// Makes text of an error of a function in Rust, and takes an error in our own Lua for one of the plugin's line that
/// called it. Any other value stays as it is. To be called where the error is.
fn blame(lua: &Lua, error: Value) -> mlua::Result<Value> {
    match error {
        Value::Error(error) => error_text(&error).into_lua(lua),
        Value::String(text) if text.as_bytes().first() == Some(&b'[') => {
            let bytes = text.as_bytes();
            match ours_until(&bytes) {
                Some(end) => {
                    let place = place_before(lua);
                    lua.create_string([place.as_bytes(), &bytes[end..]].concat())?
                        .into_lua(lua)
                }
                None => Ok(Value::String(text.clone())),
            }
        }
        other => Ok(other),
    }
}

/// Where the message begins behind a `[NAME]:LINE: ` of our own Lua.
fn ours_until(text: &[u8]) -> Option<usize> {
    let name = text
        .strip_prefix(b"[")?
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let rest = text[1 + name..].strip_prefix(b"]:")?;
    let line = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest[line..].starts_with(b": ").then_some(name + line + 5)
}

/// The plugin's line that runs, as it begins an error.
fn place_before(lua: &Lua) -> String {
    let place = place(lua);
    if place.is_empty() {
        place
    } else {
        place + ": "
    }
}

/// What our own Lua needs from Rust.
pub fn host_functions(
    lua: &Lua,
    meter: &Rc<Meter>,
    modules: Modules,
    log: Box<dyn Fn(&str)>,
) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.raw_set("over", OVER)?;
    host.raw_set("text_max", PLUGIN_TEXT_BYTES_MAX)?;
    host.raw_set("quick_max", PLUGIN_QUICK_BYTES_MAX)?;
    host.raw_set("arguments_max", PLUGIN_ARGUMENTS_MAX)?;
    let over = Rc::clone(meter);
    host.raw_set(
        "is_over",
        lua.create_function(move |_, ()| Ok(over.is_over()))?,
    )?;
    let due = Rc::clone(meter);
    host.raw_set(
        "is_due",
        lua.create_function(move |lua, ()| Ok(due.is_due(lua)))?,
    )?;
    let escaping = Rc::clone(meter);
    host.raw_set(
        "escaped",
        lua.create_function(move |_, ()| {
            escaping.note_escape();
            Ok(())
        })?,
    )?;
    let current = Rc::clone(meter);
    host.raw_set(
        "task",
        lua.create_function(move |_, ()| Ok(current.task()))?,
    )?;
    host.raw_set(
        "place",
        lua.create_function(|lua, ()| Ok(place_before(lua)))?,
    )?;
    host.raw_set("blame", lua.create_function(blame)?)?;
    host.raw_set("describe", lua.create_function(describe)?)?;
    host.raw_set(
        "metafield",
        lua.create_function(
            |_, (table, name): (Table, LuaString)| match table.metatable() {
                Some(metatable) => metatable.raw_get(name),
                None => Ok(Value::Nil),
            },
        )?,
    )?;
    let names = (
        lua.create_string("__metatable")?,
        lua.create_string("__gc")?,
    );
    host.raw_set(
        "set_metatable",
        lua.create_function(move |_, args| set_metatable((&names.0, &names.1), args))?,
    )?;
    host.raw_set(
        "log",
        lua.create_function(move |_, line: LuaString| {
            log(&line.to_string_lossy());
            Ok(())
        })?,
    )?;
    host.raw_set(
        "module",
        lua.create_function(move |lua, path: LuaString| {
            let path = path.to_string_lossy();
            match modules.get(&*path) {
                None => Ok(Err(None)),
                Some(source) => Ok(compile(lua, &path, source).map_err(Some)),
            }
        })?,
    )?;
    host.raw_set(
        "traceback",
        lua.create_function(|lua, (text, level): (Option<LuaString>, Option<usize>)| {
            let text = text.map(|text| text.to_string_lossy());
            lua.traceback(text.as_deref(), level.unwrap_or(1))
        })?,
    )?;
    text::install(lua, &host, meter)?;
    Ok(host)
}

/// A table's `__tostring`, or `nil` and its text.
fn describe(_: &Lua, table: Table) -> mlua::Result<(Value, Option<String>)> {
    let mut kind = None;
    if let Some(metatable) = table.metatable() {
        let function: Value = metatable.raw_get("__tostring")?;
        if !function.is_nil() {
            return Ok((function, None));
        }
        kind = metatable
            .raw_get::<Value>("__name")?
            .as_string()
            .map(|name| name.to_string_lossy());
    }
    let kind = kind.as_deref().unwrap_or("table");
    Ok((
        Value::Nil,
        Some(format!("{kind}: {:p}", table.to_pointer())),
    ))
}

/// In one piece, as nothing in Lua is: a `__gc` set between a check and the setting would run, and nothing could
/// interrupt it. Returns what is wrong.
fn set_metatable(
    (protection, finalizer): (&LuaString, &LuaString),
    (table, metatable): (Value, Value),
) -> mlua::Result<Option<&'static str>> {
    let Value::Table(table) = table else {
        return Ok(Some("bad argument #1 to 'setmetatable' (table expected)"));
    };
    let metatable = match metatable {
        Value::Nil => None,
        Value::Table(metatable) => Some(metatable),
        _ => {
            return Ok(Some(
                "bad argument #2 to 'setmetatable' (nil or table expected)",
            ));
        }
    };
    if let Some(present) = table.metatable()
        && !present.raw_get::<Value>(protection)?.is_nil()
    {
        return Ok(Some("cannot change a protected metatable"));
    }
    // Lua looks for it only here: one that is added later is never called.
    if let Some(metatable) = &metatable
        && !metatable.raw_get::<Value>(finalizer)?.is_nil()
    {
        return Ok(Some(
            "__gc is not supported: nothing could interrupt it; use <close>",
        ));
    }
    table.set_metatable(metatable)?;
    Ok(None)
}
