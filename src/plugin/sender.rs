//! The way to the plugin thread, for any thread, whether it runs or not. Never waits: what is on its way is bounded by what
//! may be outstanding.

use std::sync::{Arc, OnceLock};

use crate::mailbox::Mailbox;
use crate::message::plugin::PluginMsg;

/// Sends to the plugin thread. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PluginSender {
    mailbox: Arc<OnceLock<Mailbox<PluginMsg>>>,
}

impl PluginSender {
    /// Hands a message over; without a thread it is dropped, for then nobody has asked for anything.
    pub fn send(&self, message: PluginMsg) {
        if let Some(mailbox) = self.mailbox.get() {
            mailbox.send(message);
        }
    }

    /// Whether the thread was started.
    pub fn is_started(&self) -> bool {
        self.mailbox.get().is_some()
    }

    pub(super) fn start(&self, mailbox: Mailbox<PluginMsg>) {
        // There is one thread: it is started once.
        let _ = self.mailbox.set(mailbox);
    }
}
