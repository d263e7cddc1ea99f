//! What the functions of plugins need of the daemon: its clock, time zone, settings and logs. Never waits.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::tz::TimeZone;
use mlua::{LuaString, Table, Value};

use crate::clock::Clock;
use crate::limits::PLUGIN_LOG_BYTES_MAX;
use crate::message::{LogFile, LogLine};
use crate::plugin::lib::text::new_text;
use crate::plugin::sandbox::Sandbox;
use crate::proto::logtext::{LogTime, log_text};
use crate::settings::Settings;

/// Takes a line for a log; false where it was dropped, which is counted there.
pub(in crate::plugin) type LogPort = Rc<dyn Fn(LogLine) -> bool>;

/// The daemon, as the functions of plugins see it.
pub(in crate::plugin) struct Host {
    pub clock: Clock,
    pub zone: TimeZone,
    settings: RefCell<Settings>,
    log: LogPort,
    log_time: RefCell<LogTime>,
}

impl Host {
    pub fn new(clock: Clock, zone: TimeZone, settings: Settings, log: LogPort) -> Rc<Self> {
        Rc::new(Host {
            clock,
            log_time: RefCell::new(LogTime::new(zone.clone())),
            zone,
            settings: RefCell::new(settings),
            log,
        })
    }

    /// The present, Unix s.
    pub fn unix_s(&self) -> i64 {
        (self.clock.now().unix_ms / 1_000) as i64
    }

    /// Settings changed.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.replace(settings);
    }

    /// A line of a plugin in the log of that name; in `trace.log`, with the name before it, where there is none.
    pub fn log(&self, file: &str, address: Option<&str>, text: &str) {
        let text = log_text(text, PLUGIN_LOG_BYTES_MAX);
        let known = LogFile::ALL.into_iter().find(|known| known.name() == file);
        let unix_ms = self.clock.now().unix_ms;
        let mut time = self.log_time.borrow_mut();
        let line = match known {
            Some(LogFile::Server) => time.server_line(unix_ms, &text),
            Some(_) => time.request_line(address.unwrap_or("nil"), unix_ms, &text),
            None => {
                let text = format!("{}: {text}", log_text(file, 64));
                time.request_line(address.unwrap_or("nil"), unix_ms, &text)
            }
        };
        let file = known.unwrap_or(LogFile::Trace);
        (self.log)(LogLine { file, text: line });
    }

    /// Puts `log`, `getConf`, `setConf` into the table.
    pub fn install(self: &Rc<Self>, sandbox: &Sandbox, table: &Table) -> mlua::Result<()> {
        let host = Rc::clone(self);
        let log = sandbox.function(
            "log",
            move |_, (file, address, text): (LuaString, Option<LuaString>, LuaString)| {
                let address = address.map(|address| address.to_string_lossy());
                host.log(
                    &file.to_string_lossy(),
                    address.as_deref(),
                    &text.to_string_lossy(),
                );
                Ok(())
            },
        )?;
        table.raw_set("log", log)?;
        let host = Rc::clone(self);
        // `getConf(name, default?)`: the text of a setting, or of a name that `conf` or `setConf` set, with or without `conf_`;
        // default where there is none, `?` for a secret. Example: tonumber(getConf("my_limit", 10))
        let get = sandbox.function(
            "getConf",
            move |lua, (name, default): (LuaString, Value)| match host
                .settings
                .borrow()
                .text_of(&name.to_string_lossy())
            {
                None => Ok(default),
                Some(text) => new_text(lua, text.as_bytes(), "getConf").map(Value::String),
            },
        )?;
        table.raw_set("getConf", get)?;
        let host = Rc::clone(self);
        let set = sandbox.function(
            "setConf",
            move |_, (name, value): (LuaString, LuaString)| {
                let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
                let name = match name.starts_with("conf_") {
                    true => name,
                    false => format!("conf_{name}"),
                };
                let is_set = host.settings.borrow_mut().set_run_time(&name, &value);
                match is_set {
                    Ok(true) => Ok((name, value)),
                    Ok(false) => Err(format!("setConf: {name} cannot be set at run time")),
                    Err(error) => Err(format!("setConf: {error}")),
                }
            },
        )?;
        table.raw_set("setConf", set)
    }
}
