//! The plugin thread from the daemon's side: started with the first plugins, at the start or by a reload, and
//! ended with the others.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::bounded;
use jiff::tz::TimeZone;

use crate::clock::Clock;
use crate::disk::LogSender;
use crate::limits::{PLUGIN_SOCKETS_MAX, PLUGIN_SOCKETS_SHARE};
use crate::mailbox::Mailbox;
use crate::message::ReactorMsg;
use crate::message::plugin::{PluginMsg, PluginSources, PluginTable, PluginsLoaded};
use crate::plugin::{self, FirstLoad, PluginSetup, Ports};
use crate::settings::Settings;
use crate::worker::WorkerPool;

pub(super) use crate::plugin::PluginSender;

/// What the plugin thread needs once there is one.
pub(super) struct Surroundings {
    pub sender: PluginSender,
    pub mailbox: Mailbox<ReactorMsg>,
    pub workers: WorkerPool,
    pub log: LogSender,
    pub zone: TimeZone,
    pub clock: Clock,
    pub sockets_max: usize,
}

/// How many of so many open files plugins may have as sockets: connections of others are not made with the rest.
pub(super) fn sockets_max(open_files: u64) -> usize {
    PLUGIN_SOCKETS_MAX.min((open_files / PLUGIN_SOCKETS_SHARE) as usize)
}

/// The plugin thread, if there is one, and what it needs to be started.
pub(super) struct PluginHost {
    around: Surroundings,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl PluginHost {
    /// Without a thread.
    pub fn new(around: Surroundings) -> Self {
        PluginHost {
            around,
            thread: Mutex::new(None),
        }
    }

    /// Loads the plugins that there are at the start. Errors: one line; a plugin's names file and line.
    pub fn load(
        &self,
        settings: &Settings,
        sources: PluginSources,
    ) -> Result<Option<PluginTable>, String> {
        if sources.plugins.is_empty() {
            return Ok(None);
        }
        let (outcome, loaded) = bounded(1);
        let first = FirstLoad { sources, outcome };
        self.start(settings.clone(), Some(first))
            .map_err(|error| format!("cannot start the plugin thread: {error}"))?;
        match loaded.recv() {
            Ok(outcome) => outcome.map(Some),
            Err(_) => Err("the plugin thread failed: see the log".to_owned()),
        }
    }

    /// Hands a message over; the first load starts the thread, or says why not.
    pub fn tell(&self, message: PluginMsg) -> Option<ReactorMsg> {
        if let (PluginMsg::Load(load), false) = (&message, self.around.sender.is_started())
            && let Err(error) = self.start((*load.settings).clone(), None)
        {
            return Some(ReactorMsg::PluginsLoaded(Box::new(PluginsLoaded {
                reply_to: load.reply_to,
                outcome: Err(format!("cannot start the plugin thread: {error}")),
            })));
        }
        self.around.sender.send(message);
        None
    }

    fn start(&self, settings: Settings, first: Option<FirstLoad>) -> io::Result<()> {
        let around = &self.around;
        let (mailbox, workers) = (around.mailbox.clone(), around.workers.clone());
        let log = around.log.clone();
        let setup = PluginSetup {
            ports: Ports {
                tell_reactor: Box::new(move |message| mailbox.send(message)),
                submit: Box::new(move |job| workers.submit(job)),
                log: Arc::new(move |line| log.try_send(line.file, line.text)),
            },
            settings,
            zone: around.zone.clone(),
            clock: around.clock,
            sockets_max: around.sockets_max,
            first,
        };
        let thread = plugin::spawn(&around.sender, setup)?;
        *self.thread() = Some(thread);
        Ok(())
    }

    /// Ends the thread, if there is one.
    pub fn stop(&self) {
        self.around.sender.send(PluginMsg::Stop);
        if let Some(thread) = self.thread().take() {
            let _ = thread.join();
        }
    }

    fn thread(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
