//! The database as workers use it, on files of SQLite. A server's tests are in `tests/mariadb`.

mod api_log;
mod bounds;
mod files;
mod statements;
mod transactions;

use std::path::PathBuf;

use super::*;
use crate::message::database::SqlValue;
use crate::settings::Settings;
use crate::test_dir::TestDir;
use crate::worker::database::settings::{DEFAULT_FILE, Environment};

use SqlValue::{Integer, Text};

/// A database in a folder of its own.
struct Fixture {
    database: Database<u32>,
    dir: TestDir,
}

impl Fixture {
    fn new(name: &str, rows: &[(&str, &str)]) -> Self {
        let dir = TestDir::new(&format!("database-{name}"));
        let fixture = Fixture {
            database: Database::default(),
            dir,
        };
        fixture.set(rows);
        fixture
    }

    fn set(&self, rows: &[(&str, &str)]) {
        let environment = Environment::default();
        self.database.set(DatabaseSettings::new(
            &Settings::of(rows),
            &environment,
            &self.dir.0,
        ));
    }

    fn file(&self) -> PathBuf {
        self.dir.0.join(DEFAULT_FILE)
    }

    fn start(&self, name: u32, transaction: Option<u64>, op: DatabaseOp) -> Option<DatabaseDone> {
        let answered = self.database.run(name, DatabaseJob { transaction, op })?;
        assert_eq!(answered.name, name);
        Some(answered.done)
    }

    #[track_caller]
    fn run(&self, transaction: Option<u64>, op: DatabaseOp) -> DatabaseDone {
        self.start(1, transaction, op).expect("it need not wait")
    }

    #[track_caller]
    fn exec(&self, transaction: Option<u64>, sql: &str) -> (u64, i64) {
        match self.run(transaction, exec(sql)) {
            Ok(DatabaseAnswer::Changed { rows, insert_id }) => (rows, insert_id),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[track_caller]
    fn rows(&self, transaction: Option<u64>, sql: &str) -> Vec<Vec<SqlValue>> {
        rows(self.run(transaction, query(sql)))
    }

    #[track_caller]
    fn error(&self, op: DatabaseOp) -> String {
        self.run(None, op).expect_err("an error").into()
    }

    #[track_caller]
    fn end(&self, transaction: u64, commit: bool) {
        let done = self.run(Some(transaction), DatabaseOp::End { commit });
        assert_eq!(done, Ok(DatabaseAnswer::Ended));
    }

    /// What a worker that is done finds.
    #[track_caller]
    fn poll(&self) -> (u32, DatabaseDone) {
        match self.database.poll() {
            Waiting::Answered(answered) => (answered.name, answered.done),
            other => panic!("{other:?}"),
        }
    }
}

fn exec(sql: &str) -> DatabaseOp {
    exec_with(sql, Vec::new())
}

fn exec_with(sql: &str, values: Vec<SqlValue>) -> DatabaseOp {
    DatabaseOp::Exec {
        sql: sql.into(),
        values,
    }
}

fn query(sql: &str) -> DatabaseOp {
    DatabaseOp::Query {
        sql: sql.into(),
        values: Vec::new(),
    }
}

#[track_caller]
fn rows(done: DatabaseDone) -> Vec<Vec<SqlValue>> {
    match done {
        Ok(DatabaseAnswer::Rows { rows, .. }) => rows,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> SqlValue {
    Text(text.into())
}
