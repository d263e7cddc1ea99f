//! The disk thread: owns the log files. Decides nothing, and nobody waits for it.
//!
//! | module | what |
//! |---|---|
//! | [`sender`] | the way in: bounded, never blocks, drops are counted |
//! | [`thread`] | the loop: takes all that is there, then writes once per file |
//! | [`log_files`] | the files: opened at first use, reopened, failures counted and retried |
//! | [`sink`] | what crates log through `log` |

pub mod log_files;
pub mod sender;
pub mod sink;
pub mod thread;

pub use sender::LogSender;
pub use thread::{Disk, spawn};
