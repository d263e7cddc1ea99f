//! Loads of plugins: a fresh state, one file after another in it, and the switch to it, or none.

use std::collections::VecDeque;
use std::rc::Rc;

use crossbeam_channel::Sender;
use mlua::{Function, MultiValue};

use crate::ids::ConnId;
use crate::message::ReactorMsg;
use crate::message::plugin::{PluginLoad, PluginTable, PluginsLoaded};
use crate::plugin::program::Program;
use crate::plugin::purpose::Purpose;
use crate::plugin::scheduler::Scheduler;
use crate::plugin::thread::Ports;

/// A load under way.
pub(super) struct Loading {
    reply_to: Option<ConnId>,
    first: Option<Sender<Result<PluginTable, String>>>,
    rest: VecDeque<Function>,
}

impl Scheduler {
    /// Begins to load plugins.
    pub(super) fn load(
        &mut self,
        load: PluginLoad,
        first: Option<Sender<Result<PluginTable, String>>>,
    ) {
        let PluginLoad {
            reply_to,
            sources,
            settings,
        } = load;
        self.set_settings(*settings);
        self.programs += 1;
        let program = Program::new(self.programs, &self.settings, &sources, &self.host);
        let mut loading = Loading {
            reply_to,
            first,
            rest: VecDeque::new(),
        };
        let begun = program.and_then(|program| {
            loading.rest = program.chunks(&sources)?.into();
            Ok(Rc::new(program))
        });
        match begun {
            Ok(program) => self.next_file(&program, Box::new(loading)),
            Err(text) => loading.tell(&self.ports, Err(text)),
        }
    }

    pub(super) fn next_file(&mut self, program: &Rc<Program>, mut loading: Box<Loading>) {
        match loading.rest.pop_front() {
            Some(chunk) => {
                let purpose = Purpose::Load(loading);
                // It could not be told whom it failed for: there is memory for a coroutine, or none for plugins.
                if let Err(text) = self.spawn(program, &chunk, MultiValue::new(), purpose, None) {
                    self.log(&format!("plugins: {text}"));
                }
            }
            None => {
                let table = program.finish_load();
                self.finish_load(program, *loading, table);
            }
        }
    }

    /// Switches to a loaded program, or leaves the old one as it is.
    pub(super) fn finish_load(
        &mut self,
        program: &Rc<Program>,
        loading: Loading,
        table: Result<PluginTable, String>,
    ) {
        if table.is_ok() {
            let old = self.program.replace(Rc::clone(program));
            self.switch_sockets(old.as_deref());
            self.switch_timers(old.as_deref());
        } else {
            self.drop_sockets(program);
            self.drop_timers(program);
        }
        loading.tell(&self.ports, table);
    }
}

impl Loading {
    fn tell(self, ports: &Ports, outcome: Result<PluginTable, String>) {
        match self.first {
            Some(first) => drop(first.send(outcome)),
            None => {
                let reply_to = self.reply_to;
                let loaded = Box::new(PluginsLoaded { reply_to, outcome });
                (ports.tell_reactor)(ReactorMsg::PluginsLoaded(loaded));
            }
        }
    }
}
