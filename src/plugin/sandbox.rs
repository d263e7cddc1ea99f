//! One Lua state in which plugins can do no harm: no files, no processes, no bytecode, no more memory than
//! given, and nothing that computes for long. Never waits: a waiting function hands its call to whoever
//! resumes the task ([`super::task`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use mlua::chunk::ChunkMode;
use mlua::{
    FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, LuaOptions, LuaString, MultiValue, StdLib,
    Table, Value,
};

use super::meter::{Meter, OVER, place};
use super::task::{Step, Task};
use super::text;
use crate::limits::{PLUGIN_ARGUMENTS_MAX, PLUGIN_QUICK_BYTES_MAX, PLUGIN_TEXT_BYTES_MAX};

/// What plugins of one state may use.
#[derive(Clone, Copy, Debug)]
pub struct SandboxLimits {
    /// Memory of all plugins together.
    pub memory_bytes: usize,
    /// How long one task computes before others may.
    pub slice: Duration,
    /// How long one task computes in all.
    pub compute: Duration,
}

/// What `require` finds: Lua files by their path below the plugin folder, as `lib/util.lua`.
pub type Modules = HashMap<Box<str>, Box<[u8]>>;

/// One Lua state with all plugins in it. Stays on its thread.
pub struct Sandbox {
    lua: Lua,
    limits: SandboxLimits,
    meter: Rc<Meter>,
    /// Handler of errors that no plugin catches: notes where they were.
    catcher: Function,
    traceback: Rc<RefCell<Option<String>>>,
    /// `xpcall` as Lua made it: the body of every task.
    body: Function,
    /// Makes a waiting function.
    make_waiting: Function,
    /// Makes a function that raises what a function in Rust returns as its error.
    make_raising: Function,
    set_loading: Function,
    trusted: Table,
    /// What waiting functions hand over instead of their name, from 1.
    ops: RefCell<Vec<&'static str>>,
    tasks: Cell<u64>,
}

impl Sandbox {
    /// A fresh state, in which plugins load until [`Self::set_loading`] says otherwise. `log` takes what
    /// `print` prints. Errors: the text of it; there is no memory, or the limit is far too small.
    pub fn new(
        limits: SandboxLimits,
        modules: Modules,
        log: impl Fn(&str) + 'static,
    ) -> Result<Self, String> {
        build(limits, modules, Box::new(log)).map_err(|error| error_text(&error))
    }

    /// The state. Plugins' own functions must only be called in tasks.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// What plugins may use.
    pub fn limits(&self) -> SandboxLimits {
        self.limits
    }

    /// Compiles a plugin: Lua text, never bytecode. Errors: `FILE:LINE: MESSAGE`.
    pub fn load(&self, name: &str, source: &[u8]) -> Result<Function, String> {
        compile(&self.lua, name, source)
    }

    /// Runs Lua of ours, which sees the functions of the sandbox as they were at first, whatever plugins do to
    /// theirs, in an environment that all of our Lua shares; globals of plugins are to be set through [`Self::lua`]. Names no plugin.
    pub fn run_trusted<R: FromLuaMulti>(
        &self,
        name: &str,
        source: &str,
        args: impl IntoLuaMulti,
    ) -> mlua::Result<R> {
        trusted(&self.lua, name, source, self.trusted.clone())?.call(args)
    }

    /// A function that waits: whoever calls it, from however many coroutines deep, stops with [`Step::Waits`],
    /// and it returns what the task is resumed with.
    pub fn waiting(&self, name: &'static str) -> mlua::Result<Function> {
        self.ops.borrow_mut().push(name);
        self.make_waiting.call((self.ops.borrow().len(), name))
    }

    /// A function in Rust, which Lua calls and that cannot wait. Its error is raised as text, `FILE:LINE: ` before it.
    pub fn function<A, R>(
        &self,
        name: &'static str,
        function: impl Fn(&Lua, A) -> Result<R, String> + 'static,
    ) -> mlua::Result<Function>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        let meter = Rc::clone(&self.meter);
        let function = self.lua.create_function(move |lua, args: MultiValue| {
            let result = A::from_lua_multi(args, lua)
                .map_err(|error| format!("bad argument to '{name}' ({})", error_text(&error)))
                .and_then(|args| function(lua, args))
                .and_then(|result| meter.check(lua).map(|()| result));
            match result {
                Ok(result) => {
                    let mut values = result.into_lua_multi(lua)?;
                    values.push_front(Value::Boolean(true));
                    Ok(values)
                }
                Err(error) => (false, error).into_lua_multi(lua),
            }
        })?;
        self.make_raising.call((name, function))
    }

    /// While plugins load, waiting functions raise an error: nothing could resume whoever required them.
    pub fn set_loading(&self, loading: bool) -> mlua::Result<()> {
        self.set_loading.call(loading)
    }

    /// A run of the function, not begun yet.
    pub fn task(&self, function: &Function) -> mlua::Result<Task> {
        let thread = self.lua.create_thread(self.body.clone())?;
        self.tasks.set(self.tasks.get() + 1);
        Ok(Task::new(self.tasks.get(), thread, function.clone()))
    }

    /// Runs the task until it waits, ends, or its slice does. `args`: the function's arguments at first, then
    /// what the waiting function returns, or an error to be raised by it; nothing after [`Step::Preempted`].
    pub fn resume(&self, task: &mut Task, args: Result<MultiValue, String>) -> Step {
        task.resume(self, args)
    }

    /// Bytes that the state uses.
    pub fn memory_used(&self) -> usize {
        self.lua.used_memory()
    }

    pub(super) fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    pub(super) fn catcher(&self) -> Value {
        Value::Function(self.catcher.clone())
    }

    pub(super) fn take_traceback(&self) -> Option<String> {
        self.traceback.take()
    }

    pub(super) fn op(&self, index: i64) -> Option<&'static str> {
        let index = usize::try_from(index).ok()?.checked_sub(1)?;
        self.ops.borrow().get(index).copied()
    }
}

/// An error of mlua as a plugin's author knows it from Lua: no word about Rust, no traceback.
pub fn error_text(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => error_text(cause),
        mlua::Error::WithContext { cause, .. } => error_text(cause),
        mlua::Error::SyntaxError { message, .. }
        | mlua::Error::RuntimeError(message)
        | mlua::Error::MemoryError(message) => {
            let end = message.find("\nstack traceback:").unwrap_or(message.len());
            message[..end].to_owned()
        }
        mlua::Error::FromLuaConversionError { from, to, .. } => {
            format!("{to} expected, got {from}")
        }
        other => other.to_string(),
    }
}

/// The text of an error value that a plugin raised, for a log. Runs no Lua.
pub fn value_text(error: &Value) -> String {
    match error {
        Value::String(text) => text.to_string_lossy(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Error(error) => error_text(error),
        other => format!("(error object is a {} value)", other.type_name()),
    }
}

fn compile(lua: &Lua, name: &str, source: &[u8]) -> Result<Function, String> {
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
fn trusted(lua: &Lua, name: &str, source: &str, environment: Table) -> mlua::Result<Function> {
    lua.load(source)
        .set_name(format!("=[{name}]"))
        .set_mode(ChunkMode::Text)
        .set_environment(environment)
        .into_function()
}

fn build(limits: SandboxLimits, modules: Modules, log: Box<dyn Fn(&str)>) -> mlua::Result<Sandbox> {
    let libraries = StdLib::COROUTINE
        | StdLib::TABLE
        | StdLib::STRING
        | StdLib::UTF8
        | StdLib::MATH
        | StdLib::OS;
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    // Where Lua looks for a function's name in a traceback: with a large `_G`, that alone takes seconds.
    lua.set_named_registry_value("_LOADED", lua.create_table()?)?;
    let meter = Meter::new();
    let globals = lua.globals();
    let raw = lua.create_table()?;
    globals.for_each(|name: Value, value: Value| raw.raw_set(name, value))?;
    globals.clear()?;

    let traceback = Rc::new(RefCell::new(None));
    let host = host_functions(&lua, &meter, modules, log)?;
    let catcher = catcher(&lua, &meter, Rc::clone(&traceback))?;
    // Nothing of ours may look up a global: plugins could change it.
    let nothing = lua.create_table()?;
    let ours = run_prelude(&lua, &nothing, &raw, &host, &globals)?;
    lock_strings(&lua, &globals, &ours)?;
    globals.raw_set("_G", &globals)?;

    let trusted = copy_of_globals(&lua, &globals)?;
    lua.set_memory_limit(limits.memory_bytes)?;
    meter.install(&lua)?;
    Ok(Sandbox {
        body: raw.raw_get("xpcall")?,
        make_raising: ours.raw_get("raising")?,
        set_loading: ours.raw_get("set_loading")?,
        make_waiting: ours.raw_get("waiting")?,
        catcher,
        traceback,
        trusted,
        meter,
        limits,
        ops: RefCell::default(),
        tasks: Cell::new(0),
        lua,
    })
}

/// Runs our own Lua, which fills `globals`; what it returns is for us.
fn run_prelude(
    lua: &Lua,
    nothing: &Table,
    raw: &Table,
    host: &Table,
    globals: &Table,
) -> mlua::Result<Table> {
    const PARTS: [(&str, &str); 4] = [
        ("base", include_str!("prelude/base.lua")),
        ("coroutine", include_str!("prelude/coroutine.lua")),
        ("string", include_str!("prelude/string.lua")),
        ("table", include_str!("prelude/table.lua")),
    ];
    let ours = lua.create_table()?;
    for (name, source) in PARTS {
        trusted(lua, name, source, nothing.clone())?.call::<()>((raw, host, globals, &ours))?;
    }
    Ok(ours)
}

/// The functions as they are now, out of plugins' reach.
fn copy_of_globals(lua: &Lua, globals: &Table) -> mlua::Result<Table> {
    let copy = lua.create_table()?;
    globals.for_each(|name: Value, value: Value| {
        let Value::Table(library) = value else {
            return copy.raw_set(name, value);
        };
        if library == *globals {
            return Ok(());
        }
        let inner = lua.create_table()?;
        library.for_each(|name: Value, value: Value| inner.raw_set(name, value))?;
        copy.raw_set(name, inner)
    })?;
    Ok(copy)
}

/// `("x"):rep(3)` keeps working: what `getmetatable("")` gives is not what strings use.
fn lock_strings(lua: &Lua, globals: &Table, ours: &Table) -> mlua::Result<()> {
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
fn catcher(
    lua: &Lua,
    meter: &Rc<Meter>,
    traceback: Rc<RefCell<Option<String>>>,
) -> mlua::Result<Function> {
    let meter = Rc::clone(meter);
    lua.create_function(move |lua, error: Value| {
        let error = plain(lua, error)?;
        let text = if error.is_string() && !meter.is_over() {
            lua.traceback(None, 1)
                .ok()
                .map(|text| text.to_string_lossy())
        } else {
            None
        };
        traceback.replace(text);
        Ok(error)
    })
}

/// An error of a function in Rust as text; any other value as it is.
fn plain(lua: &Lua, error: Value) -> mlua::Result<Value> {
    match error {
        Value::Error(error) => error_text(&error).into_lua(lua),
        other => Ok(other),
    }
}

/// What our own Lua needs from Rust. These return their errors, for Lua to raise with a place.
fn host_functions(
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
    let current = Rc::clone(meter);
    host.raw_set(
        "task",
        lua.create_function(move |_, ()| Ok(current.task()))?,
    )?;
    host.raw_set(
        "place",
        lua.create_function(|lua, ()| {
            let place = place(lua);
            Ok(if place.is_empty() {
                place
            } else {
                place + ": "
            })
        })?,
    )?;
    host.raw_set("plain", lua.create_function(plain)?)?;
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

#[cfg(test)]
#[path = "sandbox_tests.rs"]
pub(super) mod tests;
