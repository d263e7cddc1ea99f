//! One Lua state in which plugins can do no harm: no files, no processes, no bytecode, no more memory than
//! given, and nothing that computes for long. Never waits: a waiting function hands its call to whoever
//! resumes the task ([`super::task`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use mlua::{
    FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, MultiValue, StdLib, Table, Thread, Value,
};

use super::builtins;
pub use super::errors::{error_text, value_text};
use super::meter::Meter;
use super::task::{Step, Task};
use crate::limits::PLUGIN_SPARE_COROUTINES_MAX;

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
    /// Coroutines whose tasks have ended.
    spare: RefCell<Vec<Thread>>,
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

    /// The state. From Rust, functions of plugins are never called, and their tables only read and written raw: what a plugin
    /// does below a function in Rust could not yield, so neither its slice nor its task could be ended.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// What plugins may use.
    pub fn limits(&self) -> SandboxLimits {
        self.limits
    }

    /// Compiles a plugin: Lua text, never bytecode. Errors: `FILE:LINE: MESSAGE`.
    pub fn load(&self, name: &str, source: &[u8]) -> Result<Function, String> {
        builtins::compile(&self.lua, name, source)
    }

    /// Runs Lua of ours, which sees the functions of the sandbox as they were at first, whatever plugins do to
    /// theirs, in an environment that all of our Lua shares; globals of plugins are to be set through [`Self::lua`]. Names no plugin.
    pub fn run_trusted<R: FromLuaMulti>(
        &self,
        name: &str,
        source: &str,
        args: impl IntoLuaMulti,
    ) -> mlua::Result<R> {
        builtins::trusted(&self.lua, name, source, self.trusted.clone())?.call(args)
    }

    /// A function that waits: whoever calls it, from however many coroutines deep, stops with [`Step::Waits`],
    /// and it returns what the task is resumed with.
    pub fn waiting(&self, name: &'static str) -> mlua::Result<Function> {
        self.ops.borrow_mut().push(name);
        self.make_waiting.call((self.ops.borrow().len(), name))
    }

    /// A function in Rust, which Lua calls and that cannot wait; see [`Self::lua`] for what it must not do. Its error is
    /// raised as text, `FILE:LINE: ` before it.
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
        let spare = self.spare.borrow_mut().pop();
        let thread = match spare {
            Some(thread) => {
                thread.reset(self.body.clone())?;
                thread
            }
            None => self.lua.create_thread(self.body.clone())?,
        };
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

    pub(super) fn keep(&self, thread: &Thread) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < PLUGIN_SPARE_COROUTINES_MAX {
            spare.push(thread.clone());
        }
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
    let host = builtins::host_functions(&lua, &meter, modules, log)?;
    let catcher = builtins::catcher(&lua, &meter, Rc::clone(&traceback))?;
    let ours = builtins::run_prelude(&lua, &raw, &host, &globals)?;
    builtins::lock_strings(&lua, &globals, &ours)?;
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
        spare: RefCell::default(),
        lua,
    })
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

#[cfg(test)]
#[path = "sandbox_tests.rs"]
pub(super) mod tests;
