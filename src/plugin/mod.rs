//! Plugins: one thread that owns the Lua state and its coroutines, started only where there are plugins. Never blocks:
//! a coroutine yields, and a worker, the reactor or a socket does the work.
//!
//! | module | what |
//! |---|---|
//! | [`sockets`] | TCP and UDP for plugins: bytes, and who waits for them |

pub mod sockets;
