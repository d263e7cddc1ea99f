//! The timer thread: owns all timers, through [`crate::state::timers`], and the time they wait
//! for. Never calls a URL, never touches a file, never waits but for messages and for the reactor.
//!
//! | module | what |
//! |---|---|
//! | [`sender`] | the way in: bounded; the reactor never waits, workers and the disk thread may |
//! | [`thread`] | the loop: wait for a message or the next due time, hand in, do what the timers say |

pub mod sender;
pub mod thread;

pub use sender::{TimerInbox, TimerSender, channel};
pub use thread::{Ports, TimerThread};
