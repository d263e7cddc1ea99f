//! Plugins: one thread that owns the Lua state and its coroutines, started only where there are plugins. Never blocks:
//! a coroutine yields, and a worker, the reactor or a socket does the work.
//!
//! | module | what |
//! |---|---|
//! | [`sandbox`] | a Lua state in which plugins can do no harm; `builtins` and `prelude/*.lua` are what is in it at first |
//! | [`task`] | one run of a function, which waits without holding up others |
//! | [`meter`] | what a task may still compute |
//! | `text` | string functions of Lua in Rust, interruptible, over [`crate::proto::lua_pattern`] |
//! | [`thread`] | the loop: messages, sockets, times |
//! | `scheduler` | begins coroutines, lets them run in turns, ends them; `purpose` says what each is for |
//! | `events`, `loads` | coroutines for calls and handlers, and who waits for them; plugins loaded anew |
//! | `program` | one loaded set of plugins |
//! | `lib` | the functions that plugins know |
//! | `execute` | what coroutines may wait for; [`http`], `socket_ops`, `lookups`, `local_timers` are parts of it, `results` is what Lua gets |
//! | [`values`] | Lua values to JSON and back |
//! | [`sender`] | the way to this thread |
//! | [`sockets`] | TCP and UDP for plugins: bytes, and who waits for them |
//! | [`tasks`] | which coroutine runs next, which ones wait and until when |

#[cfg(test)]
mod attacks;
mod builtins;
mod check;
#[cfg(test)]
mod coroutine_tests;
mod errors;
mod events;
mod execute;
pub mod http;
mod lib;
mod loads;
mod local_timers;
mod lookups;
pub mod meter;
#[cfg(test)]
mod prelude_tests;
mod program;
mod purpose;
mod results;
pub mod sandbox;
mod scheduler;
pub mod sender;
mod socket_ops;
pub mod sockets;
pub mod task;
pub mod tasks;
mod text;
pub mod thread;
pub mod values;

pub use check::check;
pub use sandbox::{Modules, Sandbox, SandboxLimits};
pub use sender::PluginSender;
pub use task::{Step, Task};
pub use thread::{FirstLoad, PluginSetup, Ports, spawn};
