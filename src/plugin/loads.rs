//! Loads of plugins: a fresh state, one file after another in it, and the switch to it, or none.

use std::collections::VecDeque;
use std::rc::Rc;

use crossbeam_channel::Sender;
use mlua::{Function, MultiValue};

use crate::ids::ConnId;
use crate::limits::PLUGIN_OLD_STATES_MAX;
use crate::message::ReactorMsg;
use crate::message::plugin::{PluginLoad, PluginSources, PluginTable, PluginsLoaded};
use crate::plugin::program::Program;
use crate::plugin::purpose::Purpose;
use crate::plugin::scheduler::Scheduler;
use crate::plugin::thread::Ports;

/// Who is told of a load at the start.
type First = Sender<Result<PluginTable, String>>;

/// Loads that wait for one under way: two at once would both take over the same sockets.
#[derive(Default)]
pub(super) struct Loads {
    waiting: VecDeque<(Option<ConnId>, PluginSources, Option<First>)>,
    is_loading: bool,
    /// Programs that were begun, each with a number of its own.
    programs: u64,
}

impl Loads {
    /// Whether one could begin now.
    pub fn is_ready(&self) -> bool {
        !self.is_loading && !self.waiting.is_empty()
    }
}

/// A load under way.
pub(super) struct Loading {
    reply_to: Option<ConnId>,
    first: Option<First>,
    rest: VecDeque<Function>,
}

impl Scheduler {
    /// Takes a load, whose settings are in force at once; `first` waits for the one at the start.
    pub(super) fn load(&mut self, load: PluginLoad, first: Option<First>) {
        let PluginLoad {
            reply_to,
            sources,
            settings,
        } = load;
        self.set_settings(*settings);
        self.loads.waiting.push_back((reply_to, sources, first));
    }

    /// Begins the next load, once none is under way.
    pub(super) fn next_load(&mut self) {
        if self.loads.is_loading {
            return;
        }
        let Some((reply_to, sources, first)) = self.loads.waiting.pop_front() else {
            return;
        };
        self.loads.is_loading = true;
        self.loads.programs += 1;
        let program = Program::new(self.loads.programs, &self.settings, &sources, &self.host);
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
            Err(text) => self.end_load(loading, Err(text)),
        }
    }

    pub(super) fn next_file(&mut self, program: &Rc<Program>, mut loading: Box<Loading>) {
        match loading.rest.pop_front() {
            Some(chunk) => {
                let (reply_to, first) = (loading.reply_to, loading.first.clone());
                let purpose = Purpose::Load(loading);
                if let Err(text) = self.spawn(program, &chunk, MultiValue::new(), purpose, None) {
                    let rest = VecDeque::new();
                    let loading = Loading {
                        reply_to,
                        first,
                        rest,
                    };
                    self.finish_load(program, loading, Err(text));
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
            if let Some(old) = old {
                self.retire(&old);
            }
        } else {
            self.drop_sockets(program);
            self.drop_timers(program);
        }
        self.end_load(loading, table);
    }

    fn end_load(&mut self, loading: Loading, outcome: Result<PluginTable, String>) {
        loading.tell(&self.ports, outcome);
        self.loads.is_loading = false;
    }

    /// What still runs of a program that was replaced has the time of a handler to end, also what has no end of its own.
    fn retire(&mut self, old: &Rc<Program>) {
        let until_ms = self.now.mono_ms + self.settings.plugin_timeout_ms;
        old.retire(until_ms);
        for key in self.tasks.keys(|task| Rc::ptr_eq(&task.program, old)) {
            self.tasks.limit(key, until_ms);
        }
        self.old.retain(|old| old.strong_count() > 0);
        self.old.push_back(Rc::downgrade(old));
        while self.old.len() > PLUGIN_OLD_STATES_MAX {
            if let Some(oldest) = self.old.pop_front().and_then(|oldest| oldest.upgrade()) {
                self.end_program(&oldest);
            }
        }
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
