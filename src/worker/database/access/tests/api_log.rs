//! Calls in the table ApiLog.

use super::*;
use crate::message::api_log::ApiSubRecord;

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
