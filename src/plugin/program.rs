//! One loaded set of plugins: their Lua state, what they handle, and how a call or an event becomes a function and its
//! arguments. Never runs any of it.

use std::sync::Arc;
use std::time::Duration;

use mlua::{Function, IntoLuaMulti, MultiValue, Table, Value as LuaValue};
use serde_json::Value;

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::limits::PLUGIN_MEMORY_BYTES_MAX;
use crate::message::plugin::{
    EventKind, Headers, PluginCallEvent, PluginSources, PluginTable, RequestInfo,
};
use crate::plugin::sandbox::{Sandbox, SandboxLimits, error_text, value_text};
use crate::plugin::values;
use crate::settings::Settings;

/// A loaded set of plugins.
pub(super) struct Program {
    id: u64,
    sandbox: Sandbox,
    handlers: Table,
    ws: Table,
}

/// A call under way.
pub(super) struct Run;

impl Program {
    pub fn new(
        id: u64,
        settings: &Settings,
        sources: &PluginSources,
        log: impl Fn(&str) + 'static,
    ) -> Result<Self, String> {
        let limits = SandboxLimits {
            memory_bytes: PLUGIN_MEMORY_BYTES_MAX,
            slice: Duration::from_millis(1),
            compute: Duration::from_millis(settings.plugin_compute_ms),
        };
        let modules = sources.modules.iter().cloned().collect();
        let sandbox = Sandbox::new(limits, modules, log)?;
        let made = Self::install(&sandbox).map_err(|error| error_text(&error))?;
        let (handlers, ws) = made;
        Ok(Program {
            id,
            sandbox,
            handlers,
            ws,
        })
    }

    fn install(sandbox: &Sandbox) -> mlua::Result<(Table, Table)> {
        let lua = sandbox.lua();
        values::install(lua)?;
        let op = lua.create_table()?;
        for name in super::execute::OPS {
            op.raw_set(name, sandbox.waiting(name)?)?;
        }
        let source = include_str!("bringup.lua");
        let (globals, handlers, ws): (Table, Table, Table) =
            sandbox.run_trusted("api", source, op)?;
        for pair in globals.pairs::<LuaValue, LuaValue>() {
            let (name, value) = pair?;
            lua.globals().raw_set(name, value)?;
        }
        let mut ops = Vec::new();
        for (name, _) in super::socket_ops::SOCKET_OPS {
            ops.push(LuaValue::Function(sandbox.waiting(name)?));
        }
        let source = include_str!("sockets.lua");
        let globals: Table = sandbox.run_trusted("sockets", source, MultiValue::from_iter(ops))?;
        for pair in globals.pairs::<LuaValue, LuaValue>() {
            let (name, value) = pair?;
            lua.globals().raw_set(name, value)?;
        }
        sandbox.set_loading(false)?;
        Ok((handlers, ws))
    }

    pub fn id(&self) -> u64 {
        self.id
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
        let mut table = PluginTable::default();
        for pair in self.sandbox.lua().globals().pairs::<LuaValue, LuaValue>() {
            let Ok((LuaValue::String(name), LuaValue::Function(_))) = pair else {
                continue;
            };
            if let Some(name) = name.to_string_lossy().strip_prefix("api_") {
                table.calls.push(name.into());
            }
        }
        table.calls.sort();
        for kind in [
            EventKind::Push,
            EventKind::Message,
            EventKind::Open,
            EventKind::Close,
        ] {
            if let Ok(apps) = self.handlers.raw_get::<Table>(kind.name()) {
                for pair in apps.pairs::<String, LuaValue>().flatten() {
                    table.events[kind as usize].push(pair.0.into());
                }
            }
            table.events[kind as usize].sort();
        }
        Ok(table)
    }

    pub fn handlers(&self, kind: EventKind, app: &str) -> Vec<Function> {
        let list = self.handlers.raw_get::<Table>(kind.name());
        let list = list.and_then(|apps| apps.raw_get::<Table>(app));
        list.map(|list| list.sequence_values().flatten().collect())
            .unwrap_or_default()
    }

    pub fn call(&self, event: PluginCallEvent) -> Result<(Function, MultiValue, Run), CallError> {
        let name = format!("api_{}", event.action);
        let function: Function = self
            .sandbox
            .lua()
            .globals()
            .raw_get(name)
            .map_err(|_| CallError::unknown_action(&event.action))?;
        let lua = self.sandbox.lua();
        let get =
            values::from_json(lua, &event.get).map_err(|e| CallError::new(4, e.to_string()))?;
        Ok((
            function,
            get.into_lua_multi(lua)
                .map_err(|e| CallError::new(4, e.to_string()))?,
            Run,
        ))
    }

    pub fn shape(
        &self,
        _name: &str,
        _answer: Value,
        _request: Option<Arc<RequestInfo>>,
    ) -> Result<(Function, MultiValue, Run), CallError> {
        Err(CallError::new(4, "no shape"))
    }

    pub fn finish_run(
        &self,
        _run: Run,
        outcome: Result<MultiValue, CallError>,
    ) -> (Answer, Headers) {
        let answer = outcome.and_then(|values| {
            let value = values.into_iter().next().unwrap_or(LuaValue::Nil);
            values::to_json(self.sandbox.lua(), &value)
                .map(Data::Json)
                .map_err(|text| CallError::new(4, text))
        });
        (answer, Vec::new())
    }

    pub fn error_of(&self, error: &LuaValue, traceback: Option<String>) -> CallError {
        let mut text = value_text(error);
        if let Some(traceback) = traceback {
            text.push('\n');
            text.push_str(&traceback);
        }
        CallError::new(4, text)
    }

    pub fn push_arguments(&self, user: &Value, msg: &str) -> mlua::Result<MultiValue> {
        let lua = self.sandbox.lua();
        (values::from_json(lua, user)?, msg).into_lua_multi(lua)
    }

    pub fn socket_arguments(
        &self,
        app: &str,
        user: &str,
        fd: u64,
        data: &str,
    ) -> mlua::Result<MultiValue> {
        let lua = self.sandbox.lua();
        let frame = lua.create_table_with_capacity(0, 4)?;
        frame.raw_set("fd", fd)?;
        frame.raw_set("app", app)?;
        frame.raw_set("user", user)?;
        frame.raw_set("data", data)?;
        (&self.ws, frame).into_lua_multi(lua)
    }
}
