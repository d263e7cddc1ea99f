//! All functions of plugins in one state, and how a call or an event becomes a function of theirs with its arguments.
//! Never runs any of it.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, IntoLuaMulti, MultiValue, Table, Value as LuaValue};
use serde_json::Value;

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::limits::{PLUGIN_CALL_DEPTH_MAX, PLUGIN_HTTP_CALLS_MAX};
use crate::message::plugin::{CallTraces, EventKind, PluginCallEvent, PluginTable, RequestInfo};
use crate::plugin::lib::call::CallState;
use crate::plugin::lib::host::Host;
use crate::plugin::lib::offers::Handlers;
use crate::plugin::lib::{call, date, digest, json, offers, ops, param, sql, text};
use crate::plugin::sandbox::{Sandbox, error_text, value_text};
use crate::plugin::values;
use crate::proto::form::Form;

/// The functions of plugins in one state.
pub(in crate::plugin) struct Library {
    /// Lists of handlers by kind and app, while plugins load.
    events: Table,
    /// The same once they are loaded.
    handlers: OnceCell<Handlers>,
    /// Whether plugins are loaded.
    state: Table,
    ws: Table,
    frame: Table,
    /// The metatable of what `jdRet` raises.
    ret: Table,
    /// The bodies of coroutines.
    run: Function,
    shape: Function,
}

/// A call or a shape under way.
pub(in crate::plugin) struct Run {
    state: CallState,
    is_shape: bool,
}

/// What is to be run, and what is known of it.
pub(in crate::plugin) type Begun = Result<(Function, MultiValue, Run), CallError>;

impl Library {
    /// Makes all functions global in a fresh state.
    pub fn install(sandbox: &Sandbox, daemon: &Rc<Host>) -> mlua::Result<Self> {
        let lua = sandbox.lua();
        values::install(lua)?;
        let globals = lua.create_table()?;
        let host = host_functions(sandbox, daemon, &globals)?;
        let op = lua.create_table()?;
        for name in ops::OPS {
            op.raw_set(name, sandbox.waiting(name)?)?;
        }
        let null = LuaValue::NULL;
        let pure = include_str!("prelude/pure.lua");
        let (ours_global, ours): (Table, Table) =
            sandbox.run_trusted("functions", pure, (&host, &null))?;
        ours.raw_set("inSet", ours_global.raw_get::<Function>("inSet")?)?;
        let env = include_str!("prelude/env.lua");
        let wait = include_str!("prelude/wait.lua");
        let (waiting, events, state, ws, frame): (Table, Table, Table, Table, Table) =
            sandbox.run_trusted("functions", wait, (&host, &ours, &op))?;
        let (of_env, class, run, shape): (Table, Table, Function, Function) =
            sandbox.run_trusted("env", env, (&host, &ours, &op))?;
        let db = include_str!("prelude/db.lua");
        let database: Table =
            sandbox.run_trusted("database", db, (&host, &ours, &op, class, &null))?;
        for table in [globals, ours_global, waiting, of_env, database] {
            table.for_each(|name: LuaValue, value: LuaValue| lua.globals().raw_set(name, value))?;
        }
        Ok(Library {
            events,
            handlers: OnceCell::new(),
            state,
            ws,
            frame,
            ret: ours.raw_get("Ret")?,
            run,
            shape,
        })
    }

    /// What the plugins offer, now that all are loaded; later handlers are refused. Errors: what could never be called.
    pub fn finish_load(&self, sandbox: &Sandbox) -> Result<PluginTable, String> {
        self.state
            .raw_set("isLoaded", true)
            .map_err(|error| error_text(&error))?;
        let handlers = offers::handlers(&self.events)?;
        let table = offers::table(sandbox.lua(), &handlers)?;
        let _ = self.handlers.set(handlers);
        Ok(table)
    }

    /// The functions that handle an event.
    pub fn handlers(&self, kind: EventKind, app: &str) -> Option<Rc<[Function]>> {
        self.handlers.get()?[kind as usize].get(app).cloned()
    }

    /// A call.
    pub fn call(&self, sandbox: &Sandbox, event: PluginCallEvent) -> Begun {
        let lua = sandbox.lua();
        let Some((function, class)) = offers::find(lua, &event.action) else {
            return Err(CallError::unknown_action(&event.action));
        };
        let run = Run {
            state: CallState::new(event.request),
            is_shape: false,
        };
        let make = || {
            let state = run.state.userdata(lua)?;
            let (get, post) = (parameters(lua, &event.get)?, parameters(lua, &event.post)?);
            (function, class, state, get, post, event.escape).into_lua_multi(lua)
        };
        match make() {
            Ok(arguments) => Ok((self.run.clone(), arguments, run)),
            Err(error) => Err(CallError::new(4, error_text(&error))),
        }
    }

    /// An answer that a plugin writes.
    pub fn shape(
        &self,
        sandbox: &Sandbox,
        name: &str,
        answer: &Value,
        request: Option<Arc<RequestInfo>>,
    ) -> Begun {
        let lua = sandbox.lua();
        let Some(function) = offers::shape(lua, name) else {
            return Err(CallError::new(4, format!("no retfn_{name}")));
        };
        let run = Run {
            state: CallState::new(request),
            is_shape: true,
        };
        let make = || {
            let query = Form::parse(run.state.query().as_bytes()).into_value();
            let state = run.state.userdata(lua)?;
            let (answer, get) = (values::from_json(lua, answer)?, parameters(lua, &query)?);
            (function, answer, state, get).into_lua_multi(lua)
        };
        match make() {
            Ok(arguments) => Ok((self.shape.clone(), arguments, run)),
            Err(error) => Err(CallError::new(4, error_text(&error))),
        }
    }

    /// What a call answers, which is what it wrote or what it returned, and what else it left.
    pub fn finish_run(
        &self,
        sandbox: &Sandbox,
        run: &Run,
        outcome: Result<MultiValue, CallError>,
    ) -> (Answer, CallTraces) {
        let value = match outcome {
            Ok(values) => values.into_iter().next().unwrap_or(LuaValue::Nil),
            Err(error) => return (Err(error), run.state.take().1),
        };
        if run.is_shape {
            let text = match &value {
                LuaValue::String(text) => Some(text.as_bytes().to_vec()),
                _ => None,
            };
            let (page, traces) = run.state.page(text);
            return (Ok(Data::Page(Box::new(page))), traces);
        }
        match run.state.take() {
            (Some(page), traces) => (Ok(Data::Page(Box::new(page))), traces),
            (None, traces) => {
                let answer = values::to_json(sandbox.lua(), &value);
                let answer = answer.map(Data::Json);
                (answer.map_err(|text| CallError::new(4, text)), traces)
            }
        }
    }

    /// What a raised error means: an end with data, or a failed call.
    pub fn outcome_of(&self, error: &LuaValue) -> Result<MultiValue, CallError> {
        let LuaValue::Table(raised) = error else {
            return Err(CallError::new(4, value_text(error)));
        };
        if raised.metatable().as_ref() != Some(&self.ret) {
            return Err(CallError::new(4, value_text(error)));
        }
        let code = raised.raw_get::<Option<i32>>("code").ok().flatten();
        let text = |name: &str| {
            let text = raised
                .raw_get::<Option<mlua::LuaString>>(name)
                .ok()
                .flatten();
            text.map(|text| text.to_string_lossy())
        };
        match (code, text("message")) {
            (Some(0), _) => {
                let data = raised.raw_get("data").unwrap_or(LuaValue::Nil);
                Ok(MultiValue::from_iter([data]))
            }
            (code, Some(message)) => Err(CallError::with_message(
                code.unwrap_or(4),
                message,
                text("detail").unwrap_or_default(),
            )),
            (code, None) => Err(CallError::new(
                code.unwrap_or(4),
                text("detail").unwrap_or_default(),
            )),
        }
    }

    /// The arguments of `push.APP`.
    pub fn push_arguments(
        &self,
        sandbox: &Sandbox,
        user: &Value,
        msg: &str,
    ) -> mlua::Result<MultiValue> {
        let lua = sandbox.lua();
        (values::from_json(lua, user)?, msg).into_lua_multi(lua)
    }

    /// The arguments of `message.APP`, `open.APP` and `close.APP`.
    pub fn socket_arguments(
        &self,
        sandbox: &Sandbox,
        app: &str,
        user: &str,
        fd: u64,
        data: &str,
    ) -> mlua::Result<MultiValue> {
        let lua = sandbox.lua();
        let frame = lua.create_table_with_capacity(0, 4)?;
        frame.raw_set("fd", fd)?;
        frame.raw_set("app", app)?;
        frame.raw_set("user", user)?;
        frame.raw_set("data", data)?;
        frame.set_metatable(Some(self.frame.clone()))?;
        (&self.ws, frame).into_lua_multi(lua)
    }
}

/// The functions in Rust: those of plugins go into `globals`, the others are for our own Lua.
fn host_functions(sandbox: &Sandbox, daemon: &Rc<Host>, globals: &Table) -> mlua::Result<Table> {
    let lua = sandbox.lua();
    let host = lua.create_table()?;
    host.raw_set("httpCallsMax", PLUGIN_HTTP_CALLS_MAX)?;
    host.raw_set("callDepthMax", PLUGIN_CALL_DEPTH_MAX)?;
    let raise = |_: &mlua::Lua, text: String| Err::<(), String>(text);
    host.raw_set("raise", sandbox.function("raise", raise)?)?;
    let meter = Rc::clone(sandbox.meter());
    host.raw_set("task", lua.create_function(move |_, ()| Ok(meter.task()))?)?;
    let global = |lua: &mlua::Lua, name: String| lua.globals().raw_get::<LuaValue>(name);
    host.raw_set("global", lua.create_function(global)?)?;
    let find = |lua: &mlua::Lua, action: mlua::LuaString| {
        let found = offers::find(lua, &action.to_string_lossy());
        Ok(found.map_or((None, None), |(function, class)| (Some(function), class)))
    };
    host.raw_set("find", lua.create_function(find)?)?;
    daemon.install(sandbox, &host)?;
    json::install(sandbox, &host, globals)?;
    text::install(sandbox, &host, globals)?;
    digest::install(sandbox, globals)?;
    date::install(sandbox, globals, daemon)?;
    param::install(sandbox, &host, &daemon.zone)?;
    call::install(sandbox, &host)?;
    sql::install(sandbox, &host)?;
    globals.raw_set("getConf", host.raw_get::<Function>("getConf")?)?;
    Ok(host)
}

/// Parameters; a plugin may change them, so they are no list of ours.
fn parameters(lua: &mlua::Lua, value: &Value) -> mlua::Result<Table> {
    match values::from_json(lua, value)? {
        LuaValue::Table(table) => Ok(table),
        _ => lua.create_table(),
    }
}
