//! What loaded plugins offer: calls, objects, shapes, events; and what answers one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use crate::call::timer;
use crate::limits::{PLUGIN_CLASS_DEPTH_MAX, PLUGIN_OFFERS_MAX};
use crate::message::plugin::{EventKind, PluginTable};
use crate::plugin::sandbox::error_text;

/// Calls and paths of the daemon that no plugin can answer.
const BUILT_IN: [&str; 15] = [
    "push",
    "getUsers",
    "getMsg",
    "batch",
    "setTimeout",
    "reload",
    "stat",
    "conf",
    "metrics",
    "healthz",
    "manual",
    "getApps",
    "getSettings",
    "logTail",
    "statHistory",
];

/// The shape that `X_RET_FN` is, where it is a function.
pub(super) const DEFAULT_SHAPE: &str = "X_RET_FN";

const EVENTS: [EventKind; 4] = [
    EventKind::Push,
    EventKind::Message,
    EventKind::Open,
    EventKind::Close,
];

/// The functions that handle each kind of event, by app, in the order in which they were registered.
pub(super) type Handlers = [BTreeMap<Box<str>, Rc<[Function]>>; 4];

/// All that the globals and the handlers offer. Errors: what could never be called, and why.
pub(super) fn table(lua: &Lua, handlers: &Handlers) -> Result<PluginTable, String> {
    let mut calls = BTreeSet::new();
    let mut objects = BTreeSet::new();
    let mut shapes = BTreeSet::new();
    for pair in lua.globals().pairs::<Value, Value>() {
        let Ok((Value::String(name), value)) = pair else {
            continue;
        };
        let name = name.to_string_lossy();
        match &value {
            Value::Function(_) => {
                if let Some(call) = name.strip_prefix("api_") {
                    if BUILT_IN.contains(&call) {
                        return Err(format!("{name}: the call {call} is the daemon's own"));
                    }
                    calls.insert(Box::from(call));
                } else if let Some(shape) = name.strip_prefix("retfn_") {
                    shapes.insert(Box::from(shape));
                } else if name == DEFAULT_SHAPE {
                    shapes.insert(Box::from(DEFAULT_SHAPE));
                }
            }
            Value::Table(class) => {
                let Some(object) = name.strip_prefix("AC_") else {
                    continue;
                };
                if object == timer::OBJECT {
                    return Err(format!("{name}: the object {object} is the daemon's own"));
                }
                if !object.starts_with(|c: char| c.is_ascii_uppercase()) {
                    return Err(format!("{name}: an object's name begins with a capital"));
                }
                for method in methods(class) {
                    calls.insert(format!("{object}.{method}").into());
                }
                objects.insert(Box::from(object));
            }
            _ => {}
        }
        if calls.len() + objects.len() + shapes.len() > PLUGIN_OFFERS_MAX {
            return Err(format!("more than {PLUGIN_OFFERS_MAX} calls"));
        }
    }
    let default_shape = default_shape(lua);
    Ok(PluginTable {
        calls: calls.into_iter().collect(),
        objects: objects.into_iter().collect(),
        shapes: shapes.into_iter().collect(),
        default_shape,
        events: std::array::from_fn(|kind| handlers[kind].keys().cloned().collect()),
    })
}

fn default_shape(lua: &Lua) -> Option<Box<str>> {
    match lua.globals().raw_get(DEFAULT_SHAPE).ok()? {
        Value::Function(_) => Some(DEFAULT_SHAPE.into()),
        Value::String(name) => {
            let name = name.to_string_lossy();
            Some(name.strip_prefix("retfn_").unwrap_or(&name).into())
        }
        _ => None,
    }
}

/// Takes the handlers over that `on` put into its tables. Errors: there are too many.
pub(super) fn handlers(events: &Table) -> Result<Handlers, String> {
    let mut handlers = Handlers::default();
    let mut count = 0;
    for kind in EVENTS {
        let apps: Table = events
            .raw_get(kind.name())
            .map_err(|error| error_text(&error))?;
        for pair in apps.pairs::<mlua::LuaString, Table>() {
            let (app, list) = pair.map_err(|error| error_text(&error))?;
            count += list.raw_len();
            if count > PLUGIN_OFFERS_MAX {
                return Err(format!("more than {PLUGIN_OFFERS_MAX} handlers of events"));
            }
            let functions: Vec<Function> = list.sequence_values().flatten().collect();
            handlers[kind as usize].insert(app.to_string_lossy().into(), functions.into());
        }
    }
    Ok(handlers)
}

/// The names behind `api_` of a class's methods, its bases' too.
fn methods(class: &Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for class in chain(class) {
        for pair in class.pairs::<Value, Value>() {
            if let Ok((Value::String(name), Value::Function(_))) = pair
                && let Some(method) = name.to_string_lossy().strip_prefix("api_")
            {
                names.insert(method.to_owned());
            }
        }
    }
    names
}

/// A class, its base, that one's base …
fn chain(class: &Table) -> impl Iterator<Item = Table> {
    let base = |class: &Table| class.metatable()?.raw_get("__index").ok();
    std::iter::successors(Some(class.clone()), base).take(PLUGIN_CLASS_DEPTH_MAX)
}

/// What answers an action: `api_NAME`, or a method and its class.
pub(super) fn find(lua: &Lua, action: &str) -> Option<(Function, Option<Table>)> {
    let globals = lua.globals();
    let Some((object, method)) = action.split_once('.') else {
        if BUILT_IN.contains(&action) {
            return None;
        }
        let function = globals.raw_get(format!("api_{action}")).ok()?;
        return Some((function, None));
    };
    let class: Table = globals.raw_get(format!("AC_{object}")).ok()?;
    let method = format!("api_{method}");
    let function = chain(&class).find_map(|class| class.raw_get(&*method).ok())?;
    Some((function, Some(class)))
}

/// What writes a shape.
pub(super) fn shape(lua: &Lua, name: &str) -> Option<Function> {
    let globals = lua.globals();
    match name {
        DEFAULT_SHAPE => globals.raw_get(DEFAULT_SHAPE).ok(),
        name => globals.raw_get(format!("retfn_{name}")).ok(),
    }
}
