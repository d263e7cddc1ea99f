//! How other threads reach one that sleeps in `poll`: a channel and one waker, woken at most once
//! between two drains. The receiver clears the flag before it drains, a sender pushes and then
//! sets it, so no message waits for the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::{Registry, Token, Waker};

/// A way to the thread, for any other.
#[derive(Debug)]
pub struct Mailbox<T> {
    sender: Sender<T>,
    waker: Arc<Waker>,
    woken: Arc<AtomicBool>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox {
            sender: self.sender.clone(),
            waker: Arc::clone(&self.waker),
            woken: Arc::clone(&self.woken),
        }
    }
}

/// The thread's end.
#[derive(Debug)]
pub struct Inbox<T> {
    receiver: Receiver<T>,
    woken: Arc<AtomicBool>,
}

/// Makes both ends; `token` is what `poll` reports. Without `messages_max`, what is on its way must be bounded by
/// what its senders may have outstanding.
pub fn mailbox<T>(
    registry: &Registry,
    token: Token,
    messages_max: Option<usize>,
) -> io::Result<(Mailbox<T>, Inbox<T>)> {
    let (sender, receiver) = match messages_max {
        Some(max) => bounded(max),
        None => unbounded(),
    };
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

impl<T> Mailbox<T> {
    /// Hands a message over; waits while a bounded mailbox is full, gives up when the thread is gone.
    pub fn send(&self, message: T) {
        if self.sender.send(message).is_ok() && !self.woken.swap(true, Ordering::AcqRel) {
            // Failing means that the thread is gone too.
            let _ = self.waker.wake();
        }
    }
}

impl<T> Inbox<T> {
    /// To be called before a drain.
    pub fn clear(&self) {
        // A swap, so that the drain behind it is not seen before it.
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// The next message.
    pub fn poll(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}
