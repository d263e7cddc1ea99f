use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::limits::WORKER_STACK_BYTES;
use crate::message::api_log::ApiSubRecord;
use crate::message::database::SqlValue;
use crate::settings::{Origin, Settings};
use crate::test_dir::TestDir;
use crate::worker::database::settings::{DEFAULT_FILE, Environment};

use SqlValue::{Blob, Integer, Null, Real, Text};

/// A database in a folder of its own.
struct Fixture {
    database: Database<u32>,
    dir: TestDir,
}

fn settings(rows: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in rows {
        settings
            .set(name, value, Origin::File)
            .expect("a right value");
    }
    settings
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
            &settings(rows),
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

#[test]
fn values_of_every_kind_are_bound_and_come_back() {
    let fixture = Fixture::new("values", &[]);
    assert!(!fixture.file().exists(), "not before it is asked for");
    fixture.exec(None, "create table t (a, b, c, d, e)");
    let values = vec![
        Null,
        Integer(i64::MIN),
        Real(0.1),
        text("it's 'é'\0"),
        Blob([0, 255].into()),
    ];
    let insert = exec_with("insert into t values (?, ?, ?, ?, ?)", values.clone());
    let done = fixture.run(None, insert);
    let changed = DatabaseAnswer::Changed {
        rows: 1,
        insert_id: 1,
    };
    assert_eq!(done, Ok(changed));
    let done = fixture.run(None, query("select a, b as B, c, d, e from t"));
    let columns = ["a", "B", "c", "d", "e"].map(Box::from).to_vec();
    let rows = vec![values];
    assert_eq!(done, Ok(DatabaseAnswer::Rows { columns, rows }));
    let mode = fs::metadata(fixture.file())
        .expect("made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7, 0, "not for everyone");
}

#[test]
fn changes_tell_rows_and_ids_of_their_own() {
    let fixture = Fixture::new("changes", &[]);
    assert_eq!(
        fixture.exec(None, "create table t (id integer primary key, a)"),
        (0, 0)
    );
    assert_eq!(
        fixture.exec(None, "insert into t (a) values (1), (2), (3)"),
        (3, 3)
    );
    assert_eq!(
        fixture.exec(None, "update t set a = 9 where id > 1"),
        (2, 0)
    );
    assert_eq!(
        fixture.exec(None, "update t set a = 9 where id > 7"),
        (0, 0)
    );
    assert_eq!(fixture.exec(None, "create table u (a)"), (0, 0));
    assert_eq!(fixture.exec(None, "delete from t"), (3, 0));
    assert_eq!(
        fixture.exec(None, "insert into t select 7, 8 where 0"),
        (0, 0)
    );
}

#[test]
fn errors_are_the_databases() {
    let fixture = Fixture::new("errors", &[]);
    for (op, want) in [
        (query("select * from nosuch"), "no such table: nosuch"),
        (query("selec 1"), "near \"selec\": syntax error"),
        (query("select 1; select 2"), "Multiple statements provided"),
        (
            query("select ?"),
            "the statement takes 1 values, 0 are given",
        ),
        (
            exec_with("select 1", vec![Null]),
            "the statement takes 0 values, 1 are given",
        ),
        (
            query("commit"),
            "a call's transaction begins and ends by itself: `commit` is not run",
        ),
        (
            exec("/**/ Savepoint a"),
            "a call's transaction begins and ends by itself: `Savepoint` is not run",
        ),
        (
            exec("attach 'x.db' as x"),
            "not allowed: transactions, other files and settings are not for statements",
        ),
        (
            exec("vacuum into 'x.db'"),
            "not allowed: transactions, other files and settings are not for statements",
        ),
        (
            query("pragma journal_mode = delete"),
            "not allowed: transactions, other files and settings are not for statements",
        ),
        (query("select zeroblob(20000000)"), "string or blob too big"),
    ] {
        let text = format!("{op:?}");
        assert_eq!(fixture.error(op), want, "{text}");
    }
    assert!(
        fixture
            .error(query("select load_extension('x')"))
            .contains("load_extension")
    );
    let left: Vec<_> = fs::read_dir(&fixture.dir.0).expect("a folder").collect();
    assert!(left.iter().all(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(DEFAULT_FILE)
    }));
    fixture.exec(None, "create table t (a)");
    fixture.exec(None, "vacuum");
    fixture.exec(None, "pragma user_version = 7");
    assert_eq!(fixture.rows(None, "pragma user_version"), [[Integer(7)]]);
}

#[test]
fn a_query_may_change_something() {
    let fixture = Fixture::new("returning", &[]);
    fixture.exec(None, "create table t (id integer primary key, a)");
    assert_eq!(
        fixture.rows(None, "insert into t (a) values (5) returning id"),
        [[Integer(1)]]
    );
    let sql = "explain query plan select 1";
    assert!(fixture.run(None, query(sql)).is_ok());
    // What looks like a read is found out when it is prepared.
    assert_eq!(fixture.rows(None, "pragma user_version(3)"), [[]; 0]);
    assert_eq!(fixture.rows(None, "select count(*) from t"), [[Integer(1)]]);
}

#[test]
fn a_transaction_is_seen_by_itself_alone_until_it_is_committed() {
    let fixture = Fixture::new("commit", &[]);
    fixture.exec(None, "create table t (a)");
    assert_eq!(fixture.rows(Some(7), "select * from t"), [[]; 0]);
    fixture.exec(Some(7), "insert into t values (1)");
    assert_eq!(fixture.rows(Some(7), "select * from t"), [[Integer(1)]]);
    assert_eq!(fixture.rows(None, "select * from t"), [[]; 0]);
    assert_eq!(fixture.rows(Some(8), "select * from t"), [[]; 0]);
    fixture.end(7, true);
    assert_eq!(fixture.rows(None, "select * from t"), [[Integer(1)]]);
    fixture.exec(Some(8), "delete from t");
    fixture.end(8, false);
    assert_eq!(fixture.rows(None, "select * from t"), [[Integer(1)]]);
    fixture.end(9, true);
}

#[test]
fn a_failed_statement_leaves_the_transaction_as_it_was() {
    let fixture = Fixture::new("failed", &[]);
    fixture.exec(None, "create table t (a unique)");
    assert!(
        fixture
            .run(Some(7), exec("insert into nosuch values (1)"))
            .is_err()
    );
    fixture.exec(Some(7), "insert into t values (1)");
    assert!(
        fixture
            .run(Some(7), exec("insert into t values (1)"))
            .is_err()
    );
    assert!(fixture.run(Some(7), exec("rollback")).is_err());
    fixture.exec(Some(7), "insert into t values (2)");
    fixture.end(7, true);
    assert_eq!(
        fixture.rows(None, "select * from t"),
        [[Integer(1)], [Integer(2)]]
    );
}

#[test]
fn changes_wait_for_another_transaction_without_a_worker() {
    let fixture = Fixture::new("waits", &[]);
    fixture.exec(None, "create table t (a)");
    fixture.exec(Some(7), "insert into t values (1)");
    assert_eq!(
        fixture.start(10, None, exec("insert into t values (2)")),
        None
    );
    assert_eq!(
        fixture.start(11, Some(8), exec("insert into t values (3)")),
        None
    );
    assert_eq!(
        fixture.start(12, None, exec("insert into t values (4)")),
        None
    );
    assert!(matches!(fixture.database.poll(), Waiting::Until(_)));
    fixture.end(7, false);
    assert!(matches!(fixture.poll(), (10, Ok(_))));
    assert!(matches!(fixture.poll(), (11, Ok(_))));
    assert!(matches!(fixture.database.poll(), Waiting::Until(_)));
    fixture.end(8, true);
    assert!(matches!(fixture.poll(), (12, Ok(_))));
    assert!(matches!(fixture.database.poll(), Waiting::None));
    let all = [[Integer(2)], [Integer(3)], [Integer(4)]];
    assert_eq!(fixture.rows(None, "select a from t order by a"), all);
}

#[test]
fn who_waits_too_long_is_told_so() {
    let fixture = Fixture::new("late", &[("db_timeout", "0.02")]);
    fixture.exec(None, "create table t (a)");
    fixture.exec(Some(7), "insert into t values (1)");
    assert_eq!(
        fixture.start(10, None, exec("insert into t values (2)")),
        None
    );
    let (name, done) = loop {
        match fixture.database.poll() {
            Waiting::Answered(answered) => break (answered.name, answered.done),
            Waiting::Until(wait) => assert!(wait <= Duration::from_millis(20)),
            Waiting::None => panic!("it is forgotten"),
        }
    };
    assert_eq!(
        (name, done),
        (
            10,
            Err("timeout: others held the database for 20 ms".into())
        )
    );
    fixture.end(7, true);
}

#[test]
fn a_statement_has_a_time_limit() {
    let fixture = Fixture::new("limit", &[("db_timeout", "0.05")]);
    let forever =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n";
    assert_eq!(
        fixture.error(query(forever)),
        "timeout: it took longer than 50 ms"
    );
    fixture.exec(None, "create table t (a)");
    fixture.exec(Some(7), "insert into t values (1)");
    let forever = format!("insert into t {forever}");
    assert!(fixture.run(Some(7), exec(&forever)).is_err());
    // SQLite undid all of it.
    let lost = Err("the transaction was rolled back before".into());
    assert_eq!(fixture.run(Some(7), query("select 1")), lost);
    assert_eq!(fixture.run(Some(7), DatabaseOp::End { commit: true }), lost);
    assert_eq!(fixture.rows(None, "select * from t"), [[]; 0]);
    fixture.database.interrupt();
    assert_eq!(
        fixture.error(query(
            "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n"
        )),
        "interrupted: the daemon stops"
    );
}

/// Each would take minutes where its time were its arguments' lengths multiplied, and nothing could end it.
#[test]
fn no_function_stalls_a_worker() {
    let fixture = Fixture::new("stall", &[("db_timeout", "10")]);
    let begun = Instant::now();
    for sql in [
        "select instr(hex(zeroblob(500000)), hex(zeroblob(250000)) || '1')",
        "select replace(hex(zeroblob(500000)), hex(zeroblob(250000)) || '1', 'x')",
        "select trim(hex(zeroblob(500000)), replace(hex(zeroblob(32000)), '0', '1') || '0')",
        "select rtrim(hex(zeroblob(500000)), replace(hex(zeroblob(32000)), '0', '1') || '0')",
    ] {
        assert!(fixture.run(None, query(sql)).is_ok(), "{sql}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    let large = "select replace(hex(zeroblob(1000000)), '0', '1234567890')";
    assert_eq!(fixture.error(query(large)), "string or blob too big");
    let large = "select trim('a', hex(zeroblob(40000)))";
    assert_eq!(fixture.error(query(large)), "string or blob too big");
}

#[test]
fn nothing_temporary_is_left_for_the_next_call() {
    let fixture = Fixture::new("temporary", &[]);
    for transaction in 1..3 {
        fixture.exec(Some(transaction), "create temp table x (a)");
        fixture.exec(Some(transaction), "insert into x values (1)");
        assert_eq!(
            fixture.rows(Some(transaction), "select a from x"),
            [[Integer(1)]]
        );
        fixture.end(transaction, true);
    }
    assert_eq!(fixture.error(query("select a from x")), "no such table: x");
    for made in [
        "create temp table x (a)",
        "create table temp.x (a)",
        "create temp view x as select 1",
        "attach '' as x",
    ] {
        fixture.exec(None, made);
        assert_eq!(fixture.error(query("select * from x")), "no such table: x");
    }
    let error = fixture.error(exec("create table x.y (a)"));
    assert_eq!(error, "unknown database x");
}

#[test]
fn results_are_bounded() {
    let fixture = Fixture::new("bounds", &[]);
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";
    let error = fixture.error(query(many));
    assert_eq!(error, "the result has more than 50000 rows: LIMIT it");
    let large = "with recursive n(i) as (select 1 union all select i + 1 from n) select zeroblob(1000000) from n";
    assert_eq!(
        fixture.error(query(large)),
        "the result takes more than 16 MiB: LIMIT it"
    );
    assert_eq!(
        fixture.rows(None, &format!("{many} limit 50000")).len(),
        50_000
    );
}

#[test]
fn a_file_that_was_moved_away_is_not_written_to() {
    let fixture = Fixture::new("moved", &[]);
    fixture.exec(None, "create table t (a)");
    assert_eq!(fixture.rows(None, "select * from t"), [[]; 0]);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(fixture.dir.0.join(format!("{DEFAULT_FILE}{end}")));
    }
    assert_eq!(fixture.error(query("select * from t")), "no such table: t");
    fixture.exec(None, "create table t (a, b)");
    assert!(fixture.file().exists());
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let fixture = Fixture::new("garbage", &[]);
    fs::write(fixture.file(), vec![b'x'; 10_000]).expect("written");
    assert_eq!(
        fixture.error(query("select * from t")),
        "file is not a database"
    );
    fs::remove_file(fixture.file()).expect("removed");
    fs::create_dir(fixture.file()).expect("made");
    assert!(
        fixture
            .error(exec("create table t (a)"))
            .starts_with("cannot open ")
    );
}

#[test]
fn a_transaction_ends_where_it_began_though_the_settings_change() {
    let fixture = Fixture::new("changed", &[]);
    fixture.exec(None, "create table t (a)");
    fixture.exec(Some(7), "insert into t values (1)");
    assert_eq!(
        fixture.start(10, None, exec("insert into t values (2)")),
        None
    );
    fixture.set(&[("P_DB", "other.db")]);
    fixture.exec(None, "create table u (a)");
    fixture.exec(Some(7), "insert into t values (3)");
    fixture.end(7, true);
    assert!(matches!(fixture.poll(), (10, Ok(_))));
    assert_eq!(fixture.error(query("select * from t")), "no such table: t");
    assert!(matches!(fixture.database.poll(), Waiting::None));
    assert!(lock(&fixture.database.bases).retired.is_empty());
    fixture.set(&[]);
    assert_eq!(fixture.rows(None, "select count(*) from t"), [[Integer(3)]]);
    fixture.set(&[("P_DB", "null")]);
    assert_eq!(
        fixture.error(query("select 1")),
        "no database: P_DB is null"
    );
}

// SQLite recurses over what it parses, and a worker's stack is small.
#[test]
fn statements_that_are_deep_fit_a_workers_stack() {
    let fixture = Fixture::new("deep", &[]);
    let nested = |open: &str, core: &str, close: &str, depth: usize| {
        format!("select {}{core}{}", open.repeat(depth), close.repeat(depth))
    };
    let pattern = format!(
        "select '{}' like '{}'",
        "ab".repeat(490),
        "%a_%b".repeat(190)
    );
    let json = format!("select json('{}{}')", "[".repeat(999), "]".repeat(999));
    let extract = format!(
        "select json_extract('{}{}', '$[0]')",
        "{\"a\":".repeat(900),
        "}".repeat(900)
    );
    let statements = [
        nested("abs(", "1", ")", 199),
        nested("abs(", "1", ")", 100_000),
        nested("1 + ", "1", "", 199),
        nested("1 + ", "1", "", 100_000),
        nested("(select ", "1", ")", 60),
        nested("(select ", "1", ")", 10_000),
        nested("case when 1 then ", "1", " end", 100),
        nested("not ", "1", "", 10_000),
        format!(
            "select * from {}(select 1){}",
            "(select * from ".repeat(90),
            ")".repeat(90)
        ),
        format!("select 1 {}", "union select 1 ".repeat(499)),
        format!(
            "with {} a as (select 1) select 1",
            "b as (select 1), ".repeat(500)
        ),
        pattern,
        format!("select 'a' glob '{}'", "*a".repeat(20_000)),
        json,
        extract,
    ];
    std::thread::scope(|scope| {
        let run = || {
            for sql in &statements {
                let _ = fixture.run(None, query(sql));
            }
        };
        let thread = std::thread::Builder::new()
            .stack_size(WORKER_STACK_BYTES)
            .spawn_scoped(scope, run);
        thread.expect("a thread").join().expect("it stood");
    });
}

fn record(action: &str, sub_calls: usize) -> ApiRecord {
    ApiRecord {
        began: "2026-01-02 03:04:05".into(),
        action: action.into(),
        took_ms: 7,
        code: 1,
        request: "a=é".into(),
        user: (sub_calls > 0).then_some(42),
        sub_calls: vec![ApiSubRecord::default(); sub_calls],
        ..ApiRecord::default()
    }
}

#[test]
fn calls_are_written_into_tables_that_are_made_for_them() {
    let fixture = Fixture::new("api-log", &[]);
    let log = |records| {
        fixture
            .database
            .log(1, records)
            .map(|answered| answered.done)
    };
    let written = Some(Ok(DatabaseAnswer::Ended));
    assert_eq!(log(vec![record("x", 0), record("batch", 2)]), written);
    assert_eq!(log(vec![record("y", 1)]), written);
    let sql = "select id, tm, ac, t, retval, req, userId from ApiLog where id = 2";
    let want = [
        Integer(2),
        text("2026-01-02 03:04:05"),
        text("batch"),
        Integer(7),
        Integer(1),
        text("a=é"),
        Integer(42),
    ];
    assert_eq!(fixture.rows(None, sql), [want]);
    let sql = "select apiLogId, count(*) from ApiLog1 group by 1";
    assert_eq!(
        fixture.rows(None, sql),
        [[Integer(2), Integer(2)], [Integer(3), Integer(1)]]
    );
    // It waits for its turn as any change.
    fixture.exec(Some(7), "delete from ApiLog");
    assert_eq!(log(vec![record("z", 0)]), None);
    fixture.end(7, true);
    assert!(matches!(fixture.poll(), (1, Ok(_))));
    assert_eq!(fixture.rows(None, "select ac from ApiLog"), [[text("z")]]);
    fixture.exec(None, "drop table ApiLog1");
    fixture.exec(None, "create view ApiLog1 as select 1");
    assert!(log(vec![record("v", 0), record("w", 1)]).is_some_and(|done| done.is_err()));
    assert_eq!(
        fixture.rows(None, "select ac from ApiLog"),
        [[text("z")]],
        "all or none"
    );
    fixture.exec(None, "delete from ApiLog");
    fixture.set(&[("P_DB", "null")]);
    assert_eq!(
        log(vec![record("x", 0)]),
        Some(Err("no database: P_DB is null".into()))
    );
}
