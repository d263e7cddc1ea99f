//! What the coroutines of plugins ask of databases and session files, through workers.

use serde_json::Value;

/// Something to do with the database that `P_DB` names.
#[derive(Debug, PartialEq)]
pub struct DatabaseJob {
    /// The transaction whose pinned connection to use; it begins with its first change. `None`: each
    /// statement is its own.
    pub transaction: Option<u64>,
    /// What to do.
    pub op: DatabaseOp,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum DatabaseOp {
    /// A statement that gives rows.
    Query {
        /// With `?` for each value.
        sql: Box<str>,
        /// Bound, never pasted.
        values: Vec<SqlValue>,
    },
    /// A statement that changes something.
    Exec {
        /// With `?` for each value.
        sql: Box<str>,
        /// Bound, never pasted.
        values: Vec<SqlValue>,
    },
    /// Ends the transaction and gives its connection back; without one, nothing.
    End {
        /// Commit, else roll back.
        commit: bool,
    },
}

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// `NULL`
    Null,
    /// Any integer.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// UTF-8 text.
    Text(Box<str>),
    /// Bytes that are no text.
    Blob(Box<[u8]>),
}

/// What became of a [`DatabaseJob`]. Error: the database's message, for code 3.
pub type DatabaseDone = Result<DatabaseAnswer, Box<str>>;

/// What a statement gave.
#[derive(Debug, PartialEq)]
pub enum DatabaseAnswer {
    /// Of a query.
    Rows {
        /// Names of the columns.
        columns: Vec<Box<str>>,
        /// The rows, as many values each.
        rows: Vec<Vec<SqlValue>>,
    },
    /// Of a change.
    Changed {
        /// Rows that it touched.
        rows: u64,
        /// The id that an insert made; 0 for none.
        insert_id: i64,
    },
    /// The transaction ended.
    Ended,
}

/// A session's file: one per session, JSON, below `session/` in the data folder.
#[derive(Debug, PartialEq)]
pub enum SessionJob {
    /// Read it; a new id is made where none is given or none is stored under it.
    Load {
        /// The cookie's value.
        id: Option<Box<str>>,
    },
    /// Change members of what is there by now, atomically.
    Store {
        /// As loaded.
        id: Box<str>,
        /// Members of `_SESSION` that were set, an object.
        set: Value,
        /// Names of those that were removed.
        removed: Vec<Box<str>>,
        /// It was made by this call; else, where nothing is there, it was destroyed meanwhile and stays so.
        is_new: bool,
    },
    /// Remove it.
    Destroy {
        /// As loaded.
        id: Box<str>,
    },
}

/// What became of a [`SessionJob`]: the id and what is stored (an empty object for none). Error: why not.
pub type SessionDone = Result<(Box<str>, Value), Box<str>>;
