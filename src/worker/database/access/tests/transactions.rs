//! Transactions, and who waits for whose.

use super::*;

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
