//! In a build without Lua there are no plugins: nobody sends what is taken here.

use jiff::tz::TimeZone;

use crate::clock::Clock;
use crate::disk::LogSender;
use crate::mailbox::Mailbox;
use crate::message::ReactorMsg;
use crate::message::plugin::{PluginMsg, PluginSources, PluginTable};
use crate::settings::Settings;
use crate::worker::WorkerPool;

/// Sends to nobody.
#[derive(Clone, Default)]
pub(super) struct PluginSender(());

impl PluginSender {
    pub fn send(&self, _: PluginMsg) {}
}

/// What a plugin thread would need.
#[expect(dead_code, reason = "only a build with plugins needs it")]
pub(super) struct Surroundings {
    pub sender: PluginSender,
    pub mailbox: Mailbox<ReactorMsg>,
    pub workers: WorkerPool,
    pub log: LogSender,
    pub zone: TimeZone,
    pub clock: Clock,
    pub sockets_max: usize,
}

/// None are kept for plugins.
pub(super) fn sockets_max(_: u64) -> usize {
    0
}

/// No plugin thread.
pub(super) struct PluginHost;

impl PluginHost {
    pub fn new(_: Surroundings) -> Self {
        PluginHost
    }

    pub fn load(&self, _: &Settings, _: PluginSources) -> Result<Option<PluginTable>, String> {
        Ok(None)
    }

    pub fn tell(&self, _: PluginMsg) -> Option<ReactorMsg> {
        None
    }

    pub fn stop(&self) {}
}
