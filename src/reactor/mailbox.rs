//! How other threads reach the reactor: a bounded channel and one waker, woken at most once
//! between two drains. The receiver clears the flag before it drains, a sender pushes and then
//! sets it, so no message waits for the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Registry, Token, Waker};

use crate::limits::MAILBOX_MAX;
use crate::message::ReactorMsg;

/// A way to the reactor, for any thread.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: Sender<ReactorMsg>,
    waker: Arc<Waker>,
    woken: Arc<AtomicBool>,
}

/// The reactor's end.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<ReactorMsg>,
    woken: Arc<AtomicBool>,
}

/// Makes both ends; `token` is what `poll` reports.
pub fn mailbox(registry: &Registry, token: Token) -> io::Result<(Mailbox, Inbox)> {
    let (sender, receiver) = bounded(MAILBOX_MAX);
    let waker = Arc::new(Waker::new(registry, token)?);
    let woken = Arc::new(AtomicBool::new(false));
    let inbox = Inbox {
        receiver,
        woken: Arc::clone(&woken),
    };
    Ok((
        Mailbox {
            sender,
            waker,
            woken,
        },
        inbox,
    ))
}

impl Mailbox {
    /// Hands a message over; waits while the mailbox is full, gives up when the reactor is gone.
    pub fn send(&self, message: ReactorMsg) {
        if self.sender.send(message).is_ok() && !self.woken.swap(true, Ordering::AcqRel) {
            // Failing means that the reactor is gone too.
            let _ = self.waker.wake();
        }
    }
}

impl Inbox {
    /// To be called before a drain.
    pub fn clear(&self) {
        // A swap, so that the drain behind it is not seen before it.
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// The next message.
    pub fn poll(&self) -> Option<ReactorMsg> {
        self.receiver.try_recv().ok()
    }
}
