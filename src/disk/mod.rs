//! The disk thread: owns the log files and what is stored about timers. Decides nothing, and nobody waits for it
//! but who asked for something to last.
//!
//! | module | what |
//! |---|---|
//! | [`sender`] | the way in: bounded, never blocks, drops are counted |
//! | [`thread`] | the loop: takes all that is there, then writes once per file |
//! | [`log_files`] | what goes into which log |
//! | [`log_file`] | one log: opened at first use, rotated, reopened, failures counted and retried |
//! | [`tail`] | the last lines of each log, in memory |
//! | [`sink`] | what crates log through `log` |
//! | [`timers`] | `timer.json` and its journals: where what is, and what a start makes of it |
//! | [`store`] | the same while the daemon runs: commits, merges |
//! | [`keeper`] | the conversation with the timer thread, and when a merge is due |
//! | [`image`] | what is stored, in memory |
//! | [`mod@lock`] | one daemon per data folder |
//! | [`files`] | the file operations beneath, to be replaced in tests |

#[cfg(test)]
mod fake_files;
mod files;
mod image;
mod keeper;
#[cfg(test)]
mod keeper_tests;
mod lock;
mod log_file;
pub mod log_files;
pub mod sender;
pub mod sink;
mod store;
#[cfg(test)]
mod store_tests;
mod tail;
pub mod thread;
pub mod timers;

pub use lock::{FolderLock, lock};
pub use sender::{LogSender, TimerSender};
pub use thread::{Disk, Timers, spawn};
pub use timers::TimerStore;
