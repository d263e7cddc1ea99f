//! Workers: threads that do what may block, one job at a time, and own nothing beyond it.
//!
//! | module | what |
//! |---|---|
//! | [`pool`] | threads on demand, a bounded queue, one reply per job |
//! | [`work`] | which function does which job |
//! | [`callback`] | calls a URL |
//! | [`client`] | the HTTP client under it: connections, TLS |
//! | [`resolver`] | names to addresses, and which of them may be called |
//! | [`failure`] | why a call got no answer |
//! | `database` | databases of plugins |
//! | [`static_file`] | reads a file below the static root |
//! | `plugin_files` | reads the sources of plugins |
//! | [`process`] | reads what the kernel knows of the daemon |
//! | [`task`] | what coroutines of plugins wait for: URLs, sessions, names |
//! | [`session`] | session files |
//! | [`slow`] | lines of `slow.log` |
//! | [`settings`] | reads the settings file |
//! | [`tls`] | reads the certificate and its key |
//! | [`regular`] | opens a path only if it is a regular file, without ever waiting |

pub mod callback;
pub mod client;
#[cfg(feature = "lua")]
pub mod database;
pub mod failure;
#[cfg(feature = "lua")]
pub mod plugin_files;
pub mod pool;
pub mod process;
pub mod regular;
pub mod resolver;
pub mod session;
pub mod settings;
pub mod slow;
pub mod static_file;
pub mod task;
pub mod tls;
pub mod work;

pub use pool::WorkerPool;
pub use work::Work;
