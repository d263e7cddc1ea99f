//! One connection to a file of SQLite: WAL, a busy timeout towards other processes, a deadline per statement, and
//! nothing that reaches beyond the file.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Statement as Prepared};

use crate::limits::{
    DATABASE_RESULT_BYTES_MAX, SQLITE_EXPRESSION_DEPTH_MAX, SQLITE_HEAP_BYTES_MAX,
    SQLITE_PATTERN_BYTES_MAX,
};
use crate::message::database::{DatabaseAnswer, SqlValue};
use crate::worker::database::connection::{Fault, Statement};
use crate::worker::database::functions;
use crate::worker::database::rows::{Rows, text_or_blob};
use crate::worker::database::sql;

/// Instructions between two looks at the clock: about 10 µs.
const STEPS_PER_LOOK: i32 = 1_000;

/// An open connection.
pub(super) struct Link {
    conn: Connection,
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    reads_only: bool,
    timeout: Duration,
    ended: Arc<AtomicBool>,
    /// What is prepared is ours, not a plugin's.
    is_ours: Arc<AtomicBool>,
    /// A statement may have made something temporary, which lasts as long as its connection.
    is_untidy: Arc<AtomicBool>,
}

impl Link {
    /// Opens the file, which is made if there is none. Errors: one line.
    pub fn open(
        path: &Path,
        reads_only: bool,
        timeout: Duration,
        ended: &Arc<AtomicBool>,
    ) -> Result<Self, String> {
        make(path).map_err(|error| error.to_string())?;
        let link = || -> rusqlite::Result<Link> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(timeout.min(Duration::from_secs(86_400)))?;
            // A file system without shared memory goes without.
            let _ = conn.pragma_update(None, "journal_mode", "wal");
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            conn.pragma_update(None, "hard_heap_limit", SQLITE_HEAP_BYTES_MAX)?;
            functions::install(&conn)?;
            for (limit, most) in [
                (Limit::SQLITE_LIMIT_LENGTH, DATABASE_RESULT_BYTES_MAX as i32),
                (Limit::SQLITE_LIMIT_EXPR_DEPTH, SQLITE_EXPRESSION_DEPTH_MAX),
                (
                    Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH,
                    SQLITE_PATTERN_BYTES_MAX,
                ),
            ] {
                conn.set_limit(limit, most)?;
            }
            let is_ours = Arc::new(AtomicBool::new(false));
            let ours = Arc::clone(&is_ours);
            let is_untidy = Arc::new(AtomicBool::new(false));
            let untidy = Arc::clone(&is_untidy);
            conn.authorizer(Some(move |context: AuthContext<'_>| {
                if is_temporary(&context) {
                    untidy.store(true, Ordering::Relaxed);
                }
                match ours.load(Ordering::Relaxed) || is_allowed(&context.action) {
                    true => Authorization::Allow,
                    false => Authorization::Deny,
                }
            }))?;
            Ok(Link {
                conn,
                path: path.to_owned(),
                file: (0, 0),
                reads_only,
                timeout,
                ended: Arc::clone(ended),
                is_ours,
                is_untidy,
            })
        };
        let mut link = link().map_err(|error| error.to_string())?;
        link.file = identity(path).map_err(|error| error.to_string())?;
        Ok(link)
    }

    /// Lost where the file has another name by now, or none: what is written would be gone.
    pub fn check(&self) -> Result<(), Fault> {
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(Fault::Lost("the file was moved away".into())),
        }
    }

    pub fn run(
        &mut self,
        statement: Statement<'_>,
        deadline: Instant,
    ) -> Result<DatabaseAnswer, Fault> {
        let was_outside = self.conn.is_autocommit();
        self.limit(deadline)?;
        let outcome = self.execute(&statement);
        self.limit_none();
        if was_outside && !self.conn.is_autocommit() {
            let _ = self.end(false);
        }
        match outcome {
            outcome if was_outside || !self.conn.is_autocommit() => outcome,
            Err(Fault::Refused(text)) => Err(Fault::RolledBack(text)),
            Ok(_) => Err(Fault::RolledBack(
                "the statement ended the transaction".into(),
            )),
            outcome => outcome,
        }
    }

    fn execute(&self, statement: &Statement<'_>) -> Result<DatabaseAnswer, Fault> {
        let fault = |error| self.fault(&error);
        let mut prepared = self.conn.prepare(statement.sql).map_err(fault)?;
        if self.reads_only && !prepared.readonly() {
            return Err(Fault::IsChange);
        }
        bind(&mut prepared, statement.values)?;
        let width = prepared.column_count();
        let columns = prepared.column_names().map(Box::from).collect();
        let changes_before = self.conn.total_changes();
        let mut found = Rows::new(columns);
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next().map_err(fault)? {
            if statement.is_query {
                let value = |at| Ok(value_of(row.get_ref(at)?));
                let row = (0..width).map(value).collect::<rusqlite::Result<_>>();
                found.push(row.map_err(fault)?).map_err(Fault::Refused)?;
            }
        }
        if statement.is_query {
            return Ok(found.into_answer());
        }
        // Both keep the last statement's numbers where one changes nothing.
        let has_changed = self.conn.total_changes() > changes_before;
        let has_inserted = has_changed && sql::is_insert(statement.sql);
        Ok(DatabaseAnswer::Changed {
            rows: if has_changed { self.conn.changes() } else { 0 },
            insert_id: if has_inserted {
                self.conn.last_insert_rowid()
            } else {
                0
            },
        })
    }

    pub fn begin(&mut self) -> Result<(), Fault> {
        // Deferred, it could fail at its first change instead of waiting for its turn.
        self.ours("BEGIN IMMEDIATE")
    }

    pub fn end(&mut self, commit: bool) -> Result<(), Fault> {
        if self.conn.is_autocommit() {
            return Ok(());
        }
        if commit {
            return self
                .ours("COMMIT")
                .map_err(|fault| match self.ours("ROLLBACK") {
                    Ok(()) => fault,
                    Err(_) if self.conn.is_autocommit() => fault,
                    Err(_) => Fault::Lost("the transaction could not be rolled back".into()),
                });
        }
        self.ours("ROLLBACK")
    }

    /// Lost where something temporary may be left.
    pub fn tidy(&self) -> Result<(), Fault> {
        match self.is_untidy.load(Ordering::Relaxed) {
            true => Err(Fault::Lost("the connection has temporary tables".into())),
            false => Ok(()),
        }
    }

    fn ours(&self, sql: &str) -> Result<(), Fault> {
        self.is_ours.store(true, Ordering::Relaxed);
        let outcome = self.conn.execute_batch(sql);
        self.is_ours.store(false, Ordering::Relaxed);
        outcome.map_err(|error| self.fault(&error))
    }

    fn limit(&mut self, deadline: Instant) -> Result<(), Fault> {
        let ended = Arc::clone(&self.ended);
        let is_over = move || ended.load(Ordering::Relaxed) || Instant::now() >= deadline;
        let set = self.conn.progress_handler(STEPS_PER_LOOK, Some(is_over));
        set.map_err(|error| self.fault(&error))
    }

    fn limit_none(&mut self) {
        let _ = self.conn.progress_handler(0, None::<fn() -> bool>);
    }

    fn fault(&self, error: &Error) -> Fault {
        let text = match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) if self.ended.load(Ordering::Relaxed) => {
                "interrupted: the daemon stops".to_owned()
            }
            Some(ErrorCode::OperationInterrupted) => {
                format!(
                    "timeout: it took longer than {} ms",
                    self.timeout.as_millis()
                )
            }
            Some(ErrorCode::DatabaseBusy) => "another process holds the database".to_owned(),
            Some(ErrorCode::AuthorizationForStatementDenied) => {
                "not allowed: transactions, other files and settings are not for statements"
                    .to_owned()
            }
            _ => match error {
                // Without the statement, which may be long and is the asker's own.
                Error::SqlInputError { msg, .. } => msg.clone(),
                error => error.to_string(),
            },
        };
        match error.sqlite_error_code() {
            Some(
                ErrorCode::NotADatabase
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen,
            ) => Fault::Lost(text.into()),
            _ => Fault::Refused(text.into()),
        }
    }
}

/// Makes the file, for its owner and group only.
fn make(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|data| (data.dev(), data.ino()))
}

/// Whether it makes something that only its connection has.
fn is_temporary(context: &AuthContext<'_>) -> bool {
    context.database_name == Some("temp") || matches!(context.action, AuthAction::Attach { .. })
}

/// What statements of plugins may do: all within the file, but for its transactions and settings.
fn is_allowed(action: &AuthAction<'_>) -> bool {
    /// Pragmas that tell something, or do something harmless.
    const PRAGMAS: [&str; 15] = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
        "user_version",
        "application_id",
        "optimize",
        "wal_checkpoint",
        "data_version",
    ];
    match action {
        // VACUUM attaches one without a name, and has a transaction of its own; others are told by their first word.
        AuthAction::Attach { filename } => filename.is_empty(),
        AuthAction::Savepoint { .. } => false,
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => {
            pragma_value.is_none()
                || PRAGMAS
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(pragma_name))
        }
        AuthAction::Function { function_name } => {
            !function_name.eq_ignore_ascii_case("load_extension")
        }
        AuthAction::Unknown { .. } => false,
        _ => true,
    }
}

fn bind(prepared: &mut Prepared<'_>, values: &[SqlValue]) -> Result<(), Fault> {
    let wanted = prepared.parameter_count();
    if wanted != values.len() {
        let given = values.len();
        let text = format!("the statement takes {wanted} values, {given} are given");
        return Err(Fault::Refused(text.into()));
    }
    for (at, value) in values.iter().enumerate() {
        prepared
            .raw_bind_parameter(at + 1, value)
            .map_err(|error| Fault::Refused(error.to_string().into()))?;
    }
    Ok(())
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Real(number) => ValueRef::Real(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value_of(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        ValueRef::Text(text) => text_or_blob(text.to_vec()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.into()),
    }
}
