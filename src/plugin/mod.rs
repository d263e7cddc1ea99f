//! Plugins: one thread that owns the Lua state and its coroutines, started only where there are plugins. Never blocks:
//! a coroutine yields, and a worker, the reactor or a socket does the work.
//!
//! | module | what |
//! |---|---|
//! | [`sandbox`] | a Lua state in which plugins can do no harm; `prelude/*.lua` is its part in Lua |
//! | [`task`] | one run of a function, which waits without holding up others |
//! | [`meter`] | what a task may still compute |
//! | [`pattern`] | Lua's patterns, interruptible; `text` makes string functions of them |
//! | [`sockets`] | TCP and UDP for plugins: bytes, and who waits for them |

#[cfg(test)]
mod attacks;
pub mod meter;
pub mod pattern;
pub mod sandbox;
pub mod sockets;
pub mod task;
mod text;

pub use sandbox::{Modules, Sandbox, SandboxLimits};
pub use task::{Step, Task};
