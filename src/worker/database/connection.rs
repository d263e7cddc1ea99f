//! What a connection to a database does, whichever it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::limits::DATABASE_CONNECTIONS_MAX;
use crate::message::database::{DatabaseAnswer, SqlValue};
#[cfg(feature = "mysql")]
use crate::worker::database::mysql;
use crate::worker::database::sqlite;

/// A database to connect to.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// None, and why.
    None(Box<str>),
    /// A file of SQLite.
    File(PathBuf),
    /// A MySQL or MariaDB server.
    Server(Server),
}

/// Where a server is and who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub host: String,
    pub port: u16,
    pub name: String,
    pub user: String,
    pub password: String,
}

/// For logs: without the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::None(why) => f.write_str(why),
            Target::File(path) => path.display().fmt(f),
            Target::Server(Server { host, port, .. }) => write!(f, "{host}:{port}"),
        }
    }
}

impl Target {
    /// How many connections may change something, and how many more only read; 0 where all do both.
    pub fn lanes(&self) -> [usize; 2] {
        match self {
            Target::File(_) => [1, DATABASE_CONNECTIONS_MAX - 1],
            _ => [DATABASE_CONNECTIONS_MAX, 0],
        }
    }
}

/// A statement and its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement<'s> {
    pub sql: &'s str,
    pub values: &'s [SqlValue],
    /// Its rows are wanted.
    pub is_query: bool,
}

/// Why a statement gave nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database says so; all else is as before.
    Refused(Box<str>),
    /// The same, and the transaction is rolled back with it.
    RolledBack(Box<str>),
    /// The connection is gone.
    Lost(Box<str>),
    /// This connection only reads.
    IsChange,
}

impl Fault {
    /// What to tell whoever asked.
    pub fn into_text(self) -> Box<str> {
        match self {
            Fault::Refused(text) | Fault::RolledBack(text) | Fault::Lost(text) => text,
            Fault::IsChange => "this connection only reads".into(),
        }
    }
}

/// Why there is no connection.
pub(super) enum Unopened {
    /// The settings name no database that this build knows.
    Unnamed(Box<str>),
    /// It cannot be reached. Names it and who asked: for the log.
    Unreachable(Box<str>),
}

/// A connection to a database.
pub(super) enum Connection {
    File(Box<sqlite::Link>),
    #[cfg(feature = "mysql")]
    Server(Box<mysql::Link>),
}

impl Connection {
    /// Opens one. `ended`: statements are to stop. Errors: one line, without a password.
    pub fn open(
        target: &Target,
        reads_only: bool,
        timeout: Duration,
        ended: &Arc<AtomicBool>,
    ) -> Result<Self, Unopened> {
        let opened = match target {
            Target::None(why) => return Err(Unopened::Unnamed(why.clone())),
            Target::File(path) => sqlite::Link::open(path, reads_only, timeout, ended)
                .map(|link| Connection::File(Box::new(link)))
                .map_err(|error| format!("cannot open {target}: {error}")),
            #[cfg(feature = "mysql")]
            Target::Server(server) => mysql::Link::open(server, timeout)
                .map(|link| Connection::Server(Box::new(link)))
                .map_err(|error| format!("cannot connect to {target}: {error}")),
            #[cfg(not(feature = "mysql"))]
            Target::Server(_) => {
                let why = "this build has no MySQL: P_DB must be a file";
                return Err(Unopened::Unnamed(why.into()));
            }
        };
        opened.map_err(|reason| Unopened::Unreachable(reason.into()))
    }

    /// Whether a connection that was idle is still good; asks a server only before a change, which must not be
    /// sent twice.
    #[cfg_attr(not(feature = "mysql"), allow(unused_variables))]
    pub fn check(&mut self, before_change: bool) -> Result<(), Fault> {
        match self {
            Connection::File(link) => link.check(),
            #[cfg(feature = "mysql")]
            Connection::Server(link) if before_change => link.ping(),
            #[cfg(feature = "mysql")]
            Connection::Server(_) => Ok(()),
        }
    }

    /// Runs a statement; stops it at the deadline.
    pub fn run(
        &mut self,
        statement: Statement<'_>,
        deadline: Instant,
    ) -> Result<DatabaseAnswer, Fault> {
        match self {
            Connection::File(link) => link.run(statement, deadline),
            #[cfg(feature = "mysql")]
            Connection::Server(link) => link.run(statement, deadline),
        }
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<(), Fault> {
        match self {
            Connection::File(link) => link.begin(),
            #[cfg(feature = "mysql")]
            Connection::Server(link) => link.begin(),
        }
    }

    /// Ends the transaction. Errors: it is rolled back.
    pub fn end(&mut self, commit: bool) -> Result<(), Fault> {
        match self {
            Connection::File(link) => link.end(commit),
            #[cfg(feature = "mysql")]
            Connection::Server(link) => link.end(commit),
        }
    }

    /// Makes it as good as new for its next user.
    pub fn tidy(&mut self) -> Result<(), Fault> {
        match self {
            Connection::File(link) => link.tidy(),
            #[cfg(feature = "mysql")]
            Connection::Server(link) => link.tidy(),
        }
    }
}
