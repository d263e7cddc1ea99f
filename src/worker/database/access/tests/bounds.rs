//! Time, size and depth of statements and results.

use super::*;
use crate::limits::WORKER_STACK_BYTES;

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
