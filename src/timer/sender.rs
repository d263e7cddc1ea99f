//! The way to the timer thread. The reactor's calls are refused when it is full; workers and the
//! disk thread, on whom nobody waits, wait for room.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::TIMER_MESSAGES_MAX;
use crate::message::{TimerCall, TimerMsg};
use crate::settings::Settings;

/// Sends to the timer thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TimerSender {
    channel: Sender<TimerMsg>,
}

/// Both ends of a new channel.
pub fn channel() -> (TimerSender, Receiver<TimerMsg>) {
    let (channel, receiver) = bounded(TIMER_MESSAGES_MAX);
    (TimerSender { channel }, receiver)
}

impl TimerSender {
    /// Hands a call over, without waiting; `false` when there is no room.
    pub fn try_call(&self, call: Box<TimerCall>) -> bool {
        self.channel.try_send(TimerMsg::Call(call)).is_ok()
    }

    /// Hands settings over, without waiting; gives them back when there is no room.
    pub fn try_settings(&self, settings: Box<Settings>) -> Result<(), Box<Settings>> {
        match self.channel.try_send(TimerMsg::Settings(settings)) {
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
            request: TimerRequest::Query,
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
        assert!(receiver.try_recv().is_ok());
        assert!(sender.try_settings(settings).is_ok());
        drop(receiver);
        assert!(!sender.try_call(call()));
        assert!(sender.try_settings(Box::default()).is_ok());
        sender.send(TimerMsg::Stop);
    }
}
