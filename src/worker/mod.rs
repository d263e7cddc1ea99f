//! Workers: threads that do what may block, one job at a time, and own nothing beyond it.
//!
//! | module | what |
//! |---|---|
//! | [`pool`] | threads on demand, a bounded queue, one reply per job |
//! | [`work`] | which function does which job |
//! | [`static_file`] | reads a file below the static root |
//! | [`settings`] | reads the settings file |
//! | [`regular`] | opens a path only if it is a regular file, without ever waiting |

pub mod pool;
pub mod regular;
pub mod settings;
pub mod static_file;
pub mod work;

pub use pool::WorkerPool;
pub use work::Work;
