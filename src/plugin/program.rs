//! One loaded set of plugins: their Lua state, what they handle, and how a call or an event becomes a function and its
//! arguments. Never runs any of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use mlua::{Function, IntoLuaMulti, MultiValue, Table, Value as LuaValue};
use serde_json::Value;

use crate::call::answer::{Answer, Data, Page};
use crate::call::error::CallError;
use crate::limits::{PLUGIN_MEMORY_BYTES_MAX, PLUGIN_SLICE_MS};
use crate::message::plugin::{
    EventKind, Headers, PluginCallEvent, PluginSources, PluginTable, RequestInfo,
};
use crate::plugin::sandbox::{Sandbox, SandboxLimits, error_text, value_text};
use crate::plugin::{bind, execute, socket_ops, values};
use crate::proto::json;
use crate::settings::Settings;

/// A loaded set of plugins.
pub(super) struct Program {
    id: u64,
    sandbox: Sandbox,
    /// The functions of `api/calls.lua` that are for us.
    calls: Table,
}

/// A call under way.
pub(super) struct Run {
    env: Table,
    /// Text is a response's body, not data.
    is_shape: bool,
}

impl Program {
    /// A fresh state without plugins. `log` takes what `print` prints. Errors: there is no memory.
    pub fn new(
        id: u64,
        settings: &Settings,
        sources: &PluginSources,
        zone: &TimeZone,
        log: impl Fn(&str) + 'static,
    ) -> Result<Self, String> {
        let limits = SandboxLimits {
            memory_bytes: PLUGIN_MEMORY_BYTES_MAX,
            slice: Duration::from_millis(PLUGIN_SLICE_MS),
            compute: Duration::from_millis(settings.plugin_compute_ms),
        };
        let modules = sources.modules.iter().cloned().collect();
        let sandbox = Sandbox::new(limits, modules, log)?;
        let calls = install(&sandbox, zone).map_err(|error| error_text(&error))?;
        Ok(Program { id, sandbox, calls })
    }

    /// Names it among all that were loaded.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its state.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The plugins, compiled, in their order. Errors: `FILE:LINE: MESSAGE`.
    pub fn chunks(&self, sources: &PluginSources) -> Result<Vec<Function>, String> {
        let plugins = sources.plugins.iter();
        plugins
            .map(|(name, source)| self.sandbox.load(name, source))
            .collect()
    }

    /// What the plugins that were run handle. Errors: a name that the daemon has already.
    pub fn finish_load(&self) -> Result<PluginTable, String> {
        type Names = Vec<String>;
        let table: Function = self.ours("table")?;
        let (calls, objects, shapes, default_shape, events): (
            Names,
            Names,
            Names,
            Option<String>,
            Vec<Names>,
        ) = table.call(()).map_err(|error| error_text(&error))?;
        if let Some(name) = calls.iter().find(|name| bind::RESERVED.contains(&&***name)) {
            return Err(format!(
                "api_{name}: the daemon has a call of that name; choose another"
            ));
        }
        if objects.iter().any(|name| name == "Timer") {
            return Err(
                "AC_Timer: the daemon has an object of that name; choose another".to_owned(),
            );
        }
        let sorted = |names: Names| {
            let mut names: Vec<Box<str>> = names.into_iter().map(String::into).collect();
            names.sort_unstable();
            names
        };
        let mut events = events.into_iter().map(sorted);
        Ok(PluginTable {
            calls: sorted(calls),
            objects: sorted(objects),
            shapes: sorted(shapes),
            default_shape: default_shape.map(String::into),
            events: std::array::from_fn(|_| events.next().unwrap_or_default()),
        })
    }

    /// The handlers of an event, in the order of their `on`.
    pub fn handlers(&self, kind: EventKind, app: &str) -> Vec<Function> {
        let list = self.ours("handlers").and_then(|handlers| {
            handlers
                .call::<Vec<Function>>((kind.name(), app))
                .map_err(|error| error_text(&error))
        });
        list.unwrap_or_default()
    }

    /// What runs a call, with what. Errors: code 1 where no plugin answers it any more.
    pub fn call(&self, event: PluginCallEvent) -> Result<(Function, MultiValue, Run), CallError> {
        let find = self.ours("find").map_err(server_error)?;
        let function = find
            .call::<Option<Function>>(&*event.action)
            .map_err(lua_error)?
            .ok_or_else(|| CallError::unknown_action(&event.action))?;
        let env = self
            .env(&event.get, &event.post, event.request, event.escape)
            .map_err(lua_error)?;
        let run = self.ours("run").map_err(server_error)?;
        let arguments = (&env, function)
            .into_lua_multi(self.sandbox.lua())
            .map_err(lua_error)?;
        let is_shape = false;
        Ok((run, arguments, Run { env, is_shape }))
    }

    /// What writes an answer, with what. Errors: code 4 where no plugin does any more.
    pub fn shape(
        &self,
        name: &str,
        answer: &Value,
        request: Option<Arc<RequestInfo>>,
    ) -> Result<(Function, MultiValue, Run), CallError> {
        let none = Value::Object(serde_json::Map::new());
        let shape = self.ours("shape").map_err(server_error)?;
        let function = shape
            .call::<Option<Function>>(name)
            .map_err(lua_error)?
            .ok_or_else(|| CallError::new(4, format!("no function retfn_{name}")))?;
        let env = self.env(&none, &none, request, false).map_err(lua_error)?;
        let lua = self.sandbox.lua();
        let arguments = values::from_json(lua, answer)
            .and_then(|answer| (answer, &env).into_lua_multi(lua))
            .map_err(lua_error)?;
        let is_shape = true;
        Ok((function, arguments, Run { env, is_shape }))
    }

    /// What a call or shape answers, and the headers that it set.
    pub fn finish_run(
        &self,
        run: Run,
        outcome: Result<MultiValue, CallError>,
    ) -> (Answer, Headers) {
        let headers = run.env.raw_get::<Vec<String>>("_set").map(|list| {
            let pairs = list.chunks_exact(2);
            pairs
                .map(|pair| (pair[0].as_str().into(), pair[1].as_str().into()))
                .collect()
        });
        let answer = outcome.and_then(|values| {
            let value = values.into_iter().next().unwrap_or(LuaValue::Nil);
            self.answer(&run, &value)
                .map_err(|text| CallError::new(4, text))
        });
        (answer, headers.unwrap_or_default())
    }

    fn answer(&self, run: &Run, value: &LuaValue) -> Result<Data, String> {
        let written: Vec<mlua::LuaString> = run
            .env
            .raw_get("_body")
            .map_err(|error| error_text(&error))?;
        let mut body: Vec<u8> = Vec::new();
        for piece in &written {
            body.extend_from_slice(&piece.as_bytes());
        }
        match value {
            LuaValue::String(text) if run.is_shape => body.extend_from_slice(&text.as_bytes()),
            LuaValue::Table(_) if run.is_shape => {
                json::write(&mut body, &values::to_json(self.sandbox.lua(), value)?);
                body.push(b'\n');
            }
            _ if written.is_empty() && !run.is_shape => {
                return values::to_json(self.sandbox.lua(), value).map(Data::Json);
            }
            _ => {}
        }
        let content_type: Option<String> = run
            .env
            .raw_get("_type")
            .map_err(|error| error_text(&error))?;
        Ok(Data::Page(Box::new(Page {
            content_type: content_type
                .unwrap_or_else(|| "text/plain; charset=UTF-8".to_owned())
                .into(),
            body: body.into(),
        })))
    }

    /// What an error that no plugin caught answers: what `jdRet` says, else code 4 with its text.
    pub fn error_of(&self, error: &LuaValue) -> CallError {
        let is_ret = self.ours("isRet").and_then(|is_ret| {
            is_ret
                .call::<bool>(error)
                .map_err(|error| error_text(&error))
        });
        let LuaValue::Table(ret) = error else {
            return CallError::new(4, value_text(error));
        };
        if is_ret != Ok(true) {
            return CallError::new(4, value_text(error));
        }
        let text = |name: &str| match ret.raw_get::<LuaValue>(name) {
            Ok(LuaValue::Nil) | Err(_) => None,
            Ok(LuaValue::String(text)) => Some(text.to_string_lossy()),
            Ok(other) => values::to_json(self.sandbox.lua(), &other)
                .ok()
                .map(|value| json::to_text(&value)),
        };
        let code = ret.raw_get::<i32>("code").unwrap_or(4);
        let detail = text("detail").unwrap_or_default();
        match text("message") {
            Some(message) => CallError::with_message(code, message, detail),
            None => CallError::new(code, detail),
        }
    }

    /// What `on("push.APP")` is given.
    pub fn push_arguments(&self, user: &Value, msg: &str) -> mlua::Result<MultiValue> {
        let lua = self.sandbox.lua();
        (values::from_json(lua, user)?, msg).into_lua_multi(lua)
    }

    /// What handlers of a WebSocket's events are given.
    pub fn socket_arguments(
        &self,
        app: &str,
        user: &str,
        fd: u64,
        data: &str,
    ) -> mlua::Result<MultiValue> {
        let frame: Function = self.calls.raw_get("frame")?;
        frame.call((fd, app, user, data))
    }

    fn env(
        &self,
        get: &Value,
        post: &Value,
        request: Option<Arc<RequestInfo>>,
        escape: bool,
    ) -> mlua::Result<Table> {
        let lua = self.sandbox.lua();
        let headers = lua.create_table()?;
        let fields = lua.create_table()?;
        if let Some(request) = request {
            for (name, value) in &request.headers {
                let value = match headers.raw_get::<Option<String>>(&**name)? {
                    Some(before) => format!("{before}, {value}"),
                    None => value.to_string(),
                };
                headers.raw_set(&**name, value)?;
            }
            fields.raw_set("method", &*request.method)?;
            fields.raw_set("path", &*request.path)?;
            fields.raw_set("query", &*request.query)?;
            fields.raw_set("address", &*request.address)?;
        }
        let make: Function = self.calls.raw_get("env")?;
        let (get, post) = (values::from_json(lua, get)?, values::from_json(lua, post)?);
        make.call((get, post, headers, escape, fields))
    }

    fn ours(&self, name: &str) -> Result<Function, String> {
        self.calls.raw_get(name).map_err(|error| error_text(&error))
    }
}

fn server_error(text: String) -> CallError {
    CallError::new(4, text)
}

fn lua_error(error: mlua::Error) -> CallError {
    CallError::new(4, error_text(&error))
}

/// Puts the functions of plugins into a state; those of `api/calls.lua` that are for us.
fn install(sandbox: &Sandbox, zone: &TimeZone) -> mlua::Result<Table> {
    let lua = sandbox.lua();
    values::install(lua)?;
    let op = lua.create_table()?;
    for name in execute::OPS {
        op.raw_set(name, sandbox.waiting(name)?)?;
    }
    let rust = bind::functions(sandbox, zone)?;
    let source = include_str!("api/waits.lua");
    let (globals, shared): (Table, Table) = sandbox.run_trusted("waits", source, (&op, &rust))?;
    publish(sandbox, &globals)?;
    let source = include_str!("api/database.lua");
    let arguments = (&op, &rust, &shared);
    publish(
        sandbox,
        &sandbox.run_trusted("database", source, arguments)?,
    )?;
    let source = include_str!("api/calls.lua");
    let arguments = (&op, &rust, &shared, lua.globals());
    let (globals, calls): (Table, Table) = sandbox.run_trusted("calls", source, arguments)?;
    publish(sandbox, &globals)?;
    let mut ops = Vec::new();
    for (name, _) in socket_ops::SOCKET_OPS {
        ops.push(LuaValue::Function(sandbox.waiting(name)?));
    }
    let source = include_str!("sockets.lua");
    let arguments = MultiValue::from_iter(ops);
    publish(sandbox, &sandbox.run_trusted("sockets", source, arguments)?)?;
    lua.globals().raw_set("null", LuaValue::NULL)?;
    // What a load may wait for is decided where that is begun.
    sandbox.set_loading(false)?;
    Ok(calls)
}

fn publish(sandbox: &Sandbox, functions: &Table) -> mlua::Result<()> {
    let globals = sandbox.lua().globals();
    functions.for_each(|name: LuaValue, value: LuaValue| globals.raw_set(name, value))
}
