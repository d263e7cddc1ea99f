//! Databases of plugins: SQLite in a file, or a MySQL or MariaDB server. Runs what [`crate::message::database`]
//! asks; never decides when a transaction ends.
//!
//! ```text
//! a worker ──► access: asks the gate ──► go on: a connection ──► sqlite | mysql ──► answer
//!                 ▲                  └─► wait: kept in the gate; the worker is free
//!                 └── a worker that is done polls: whoever may go on now, or has waited too long
//! ```
//!
//! | module | what |
//! |---|---|
//! | `access` | jobs in, answers out; transactions, settings that change |
//! | `attempt` | one job on one connection; retries |
//! | `gate` | who may use which connection, and who waits |
//! | `api_log` | calls into the table ApiLog |
//! | `connection` | what SQLite and a server have in common; faults |
//! | `sqlite`, `mysql` | one connection each |
//! | `functions` | functions of SQLite that would stall |
//! | `rows` | a result, within its bounds |
//! | `settings` | which database it is |
//! | `unreachable` | what is said of a database that cannot be reached |
//! | `sql` | what the words of a statement tell before it is run |

mod access;
mod api_log;
mod attempt;
mod connection;
mod functions;
mod gate;
#[cfg(feature = "mysql")]
mod mysql;
mod rows;
mod settings;
mod sql;
mod sqlite;
mod unreachable;

pub use access::{Answered, Database, Waiting};
pub use settings::{DatabaseSettings, Environment};
