//! One loaded set of plugins: their Lua state and the functions that they know. Never runs any of it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Function, MultiValue, Table, Value as LuaValue};
use serde_json::Value;

use crate::call::answer::Answer;
use crate::call::error::CallError;
use crate::limits::{PLUGIN_MEMORY_BYTES_MAX, PLUGIN_SLICE_MS};
use crate::message::plugin::{
    CallTraces, EventKind, PluginCallEvent, PluginSources, PluginTable, RequestInfo,
};
use crate::plugin::lib::host::Host;
use crate::plugin::lib::library::{Begun, Library};
use crate::plugin::sandbox::{Sandbox, SandboxLimits, error_text};
use crate::settings::Settings;

pub(super) use crate::plugin::lib::library::Run;

/// A loaded set of plugins.
pub(super) struct Program {
    id: u64,
    sandbox: Sandbox,
    library: Library,
    /// When all of it has to have ended, monotonic ms, once another was loaded.
    retired_ms: Cell<Option<u64>>,
}

impl Program {
    pub fn new(
        id: u64,
        settings: &Settings,
        sources: &PluginSources,
        host: &Rc<Host>,
    ) -> Result<Self, String> {
        let limits = SandboxLimits {
            memory_bytes: PLUGIN_MEMORY_BYTES_MAX,
            slice: Duration::from_millis(PLUGIN_SLICE_MS),
            compute: Duration::from_millis(settings.plugin_compute_ms),
        };
        let modules = sources.modules.iter().cloned().collect();
        let log = Rc::clone(host);
        let sandbox = Sandbox::new(limits, modules, move |line| log.log("trace", None, line))?;
        let library = Self::install(&sandbox, host).map_err(|error| error_text(&error))?;
        Ok(Program {
            id,
            sandbox,
            library,
            retired_ms: Cell::new(None),
        })
    }

    fn install(sandbox: &Sandbox, host: &Rc<Host>) -> mlua::Result<Library> {
        let lua = sandbox.lua();
        let library = Library::install(sandbox, host)?;
        let mut ops = Vec::new();
        for (name, _) in super::socket_ops::SOCKET_OPS {
            ops.push(LuaValue::Function(sandbox.waiting(name)?));
        }
        let source = include_str!("sockets.lua");
        let globals: Table = sandbox.run_trusted("sockets", source, MultiValue::from_iter(ops))?;
        globals.for_each(|name: LuaValue, value: LuaValue| lua.globals().raw_set(name, value))?;
        sandbox.set_loading(false)?;
        Ok(library)
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// Another one is in force: what still runs of this one has to have ended by then.
    pub fn retire(&self, until_ms: u64) {
        self.retired_ms.set(Some(until_ms));
    }

    /// When all of it has to have ended, if another one is in force.
    pub fn retired_ms(&self) -> Option<u64> {
        self.retired_ms.get()
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn chunks(&self, sources: &PluginSources) -> Result<Vec<Function>, String> {
        let plugins = sources.plugins.iter();
        plugins
            .map(|(name, source)| self.sandbox.load(name, source))
            .collect()
    }

    pub fn finish_load(&self) -> Result<PluginTable, String> {
        self.library.finish_load(&self.sandbox)
    }

    pub fn handlers(&self, kind: EventKind, app: &str) -> Option<Rc<[Function]>> {
        self.library.handlers(kind, app)
    }

    pub fn call(&self, event: PluginCallEvent) -> Begun {
        self.library.call(&self.sandbox, event)
    }

    pub fn shape(&self, name: &str, answer: &Value, request: Option<Arc<RequestInfo>>) -> Begun {
        self.library.shape(&self.sandbox, name, answer, request)
    }

    pub fn finish_run(
        &self,
        run: &Run,
        outcome: Result<MultiValue, CallError>,
    ) -> (Answer, CallTraces) {
        self.library.finish_run(&self.sandbox, run, outcome)
    }

    /// What an error that nobody caught means for a call: its end with data, or a failure.
    pub fn outcome_of(&self, error: &LuaValue) -> Result<MultiValue, CallError> {
        self.library.outcome_of(error)
    }

    pub fn push_arguments(&self, user: &Value, msg: &str) -> mlua::Result<MultiValue> {
        self.library.push_arguments(&self.sandbox, user, msg)
    }

    pub fn socket_arguments(
        &self,
        app: &str,
        user: &str,
        fd: u64,
        data: &str,
    ) -> mlua::Result<MultiValue> {
        self.library
            .socket_arguments(&self.sandbox, app, user, fd, data)
    }
}
