//! The way to the timer thread. The reactor's calls are refused when it is full; workers and the
//! disk thread, on whom nobody waits, wait for room.
//!
//! The thread sleeps by parking, not in the channel: that spins and yields before it sleeps, which costs a
//! lone caller as much as its call. A sender pushes and then wakes whoever is asleep, the sleeper says that it
//! is and then looks once more, so no message waits for the next one.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryIter, TryRecvError, bounded};

use crate::limits::TIMER_MESSAGES_MAX;
use crate::message::{TimerCall, TimerMsg};
use crate::settings::Settings;

/// Sends to the timer thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TimerSender {
    channel: Sender<TimerMsg>,
    sleeper: Arc<Sleeper>,
}

/// The timer thread's end.
#[derive(Debug)]
pub struct TimerInbox {
    channel: Receiver<TimerMsg>,
    sleeper: Arc<Sleeper>,
}

/// The thread that receives, and whether it is to be woken.
#[derive(Debug, Default)]
struct Sleeper {
    is_asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// Both ends of a new channel.
pub fn channel() -> (TimerSender, TimerInbox) {
    let (sender, receiver) = bounded(TIMER_MESSAGES_MAX);
    let sleeper = Arc::new(Sleeper::default());
    let inbox = TimerInbox {
        channel: receiver,
        sleeper: Arc::clone(&sleeper),
    };
    let sender = TimerSender {
        channel: sender,
        sleeper,
    };
    (sender, inbox)
}

impl TimerInbox {
    /// The next message; `None` once `until` has passed without one. Always for the same thread. Nobody being left
    /// who could send is noticed only when awake, and told as [`TimerMsg::Stop`].
    pub fn recv_until(&self, until: Option<Instant>) -> Option<TimerMsg> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return None;
            }
            self.sleeper.thread.get_or_init(thread::current);
            self.sleeper.is_asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if let Some(message) = self.take() {
                self.sleeper.is_asleep.store(false, Ordering::Relaxed);
                return Some(message);
            }
            match until {
                Some(until) => thread::park_timeout(until - now),
                None => thread::park(),
            }
            self.sleeper.is_asleep.store(false, Ordering::Relaxed);
        }
    }

    /// The messages that are there.
    pub fn try_iter(&self) -> TryIter<'_, TimerMsg> {
        self.channel.try_iter()
    }

    fn take(&self) -> Option<TimerMsg> {
        match self.channel.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(TimerMsg::Stop),
        }
    }
}

impl Sleeper {
    /// To be called behind every message.
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed)
            && self.is_asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl TimerSender {
    /// Hands a call over, without waiting; `false` when there is no room.
    pub fn try_call(&self, call: Box<TimerCall>) -> bool {
        let is_taken = self.channel.try_send(TimerMsg::Call(call)).is_ok();
        self.sleeper.wake();
        is_taken
    }

    /// Hands settings over, without waiting; gives them back when there is no room.
    pub fn try_settings(&self, settings: Box<Settings>) -> Result<(), Box<Settings>> {
        let sent = self.channel.try_send(TimerMsg::Settings(settings));
        self.sleeper.wake();
        match sent {
            Ok(()) => Ok(()),
            Err(refused) if refused.is_disconnected() => Ok(()),
            Err(refused) => match refused.into_inner() {
                TimerMsg::Settings(settings) => Err(settings),
                _ => Ok(()),
            },
        }
    }

    /// Hands anything over; waits for room, gives up when the thread is gone.
    pub fn send(&self, message: TimerMsg) {
        let _ = self.channel.send(message);
        self.sleeper.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnId;
    use crate::message::TimerRequest;

    fn call() -> Box<TimerCall> {
        let reply_to = ConnId {
            key: 0,
            generation: 0,
        };
        Box::new(TimerCall {
            reply_to,
            request: TimerRequest::Query {
                text: "".into(),
                limit: usize::MAX,
            },
        })
    }

    #[test]
    fn a_full_queue_refuses_calls_and_gives_settings_back() {
        let (sender, receiver) = channel();
        for _ in 0..TIMER_MESSAGES_MAX {
            assert!(sender.try_call(call()));
        }
        assert!(!sender.try_call(call()));
        let settings = sender.try_settings(Box::default()).expect_err("no room");
        assert!(receiver.try_iter().next().is_some());
        assert!(sender.try_settings(settings).is_ok());
        drop(receiver);
        assert!(!sender.try_call(call()));
        assert!(sender.try_settings(Box::default()).is_ok());
        sender.send(TimerMsg::Stop);
    }

    #[test]
    fn no_message_waits_for_the_next_one() {
        const COUNT: u64 = 20_000;
        let (sender, inbox) = channel();
        let (taken, counted) = crossbeam_channel::bounded(1);
        let receiver = thread::spawn(move || {
            for n in 0..COUNT {
                let message = inbox.recv_until(None);
                assert!(matches!(message, Some(TimerMsg::Committed { seq }) if seq == n));
                taken.send(n).expect("a sender that waits");
            }
            drop(inbox);
        });
        for n in 0..COUNT {
            sender.send(TimerMsg::Committed { seq: n });
            assert_eq!(counted.recv(), Ok(n));
        }
        receiver.join().expect("no panic");
    }

    #[test]
    fn a_deadline_ends_the_wait_and_never_early() {
        let (sender, inbox) = channel();
        let until = Instant::now() + std::time::Duration::from_millis(5);
        assert!(inbox.recv_until(Some(until)).is_none());
        assert!(Instant::now() >= until);
        assert!(inbox.recv_until(Some(until)).is_none(), "long past");
        drop(sender);
        assert!(matches!(inbox.recv_until(None), Some(TimerMsg::Stop)));
    }
}
