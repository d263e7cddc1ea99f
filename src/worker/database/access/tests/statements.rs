//! What statements give, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

use SqlValue::{Blob, Null, Real};

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
