//! All timers, without I/O: [`Timers::handle`] takes what happened, [`Timers::poll_output`] gives what to do,
//! [`Timers::poll_timeout`] says when to come back. Time is an argument, so a test runs years of it.
//!
//! ```text
//! TimerCall ──► calls ──► changes ──► Record ──► (disk) ──► Committed ──► schedule, Reply
//!                                                                            │ due
//! poll_output() ◄── Callback ◄── state::dispatch (slots per host) ◄── runs ◄─┘
//! CallbackDone ──► runs ──► trace.log, retry, Timer.log
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | `Timers`: turns, inputs, outputs |
//! | [`calls`] | what each call does and answers |
//! | [`changes`] | records, undo, commit |
//! | [`schedule`] | when a timer is due |
//! | [`clock_steps`] | what a step of the wall clock does to that |
//! | [`runs`] | from due to answered: overlap, retries, log lines |
//! | [`sending`] | how a callback goes out |
//! | [`rows`] | `Timer.query`, `get`, `log`, `failed`, `preview` |
//! | [`fields`] | what the fields of a timer mean |
//! | [`book`] | periodic timers and persistent one-shots |
//! | [`texts`] | the other one-shots, as text |
//! | [`sign`] | signatures of callbacks |
//!
//! A change is visible at once, but a timer runs, and its call is answered, only when the change is on disk.

pub mod book;
pub mod calls;
pub mod changes;
pub mod clock_steps;
pub mod fields;
pub mod machine;
pub mod rows;
pub mod runs;
pub mod schedule;
pub mod sending;
pub mod sign;
pub mod texts;

pub use machine::{Timers, TimersInput, TimersOutput, TimersSetup};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
