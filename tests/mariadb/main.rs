//! Databases of plugins on a real MariaDB server: values, transactions, limits, and what happens when connections or
//! the server go away.

#![cfg(feature = "mysql")]

#[path = "../common/mod.rs"]
mod common;

mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use jdserver::message::api_log::ApiRecord;
use jdserver::message::database::{
    DatabaseAnswer, DatabaseDone, DatabaseJob, DatabaseOp, SqlValue,
};
use jdserver::settings::{Origin, Settings};
use jdserver::worker::database::{Database, DatabaseSettings, Environment, Waiting};

use SqlValue::{Blob, Integer, Null, Real, Text};
use common::http::ask_port;
use common::server::{Folder, Server};
use server::{CREDENTIALS, MariaDb};

/// Connections that one daemon opens at most.
const CONNECTIONS: u64 = jdserver::limits::DATABASE_CONNECTIONS_MAX as u64;

fn database(rows: &[(&str, &str)]) -> Database<u64> {
    let mut settings = Settings::default();
    for (name, value) in rows {
        settings
            .set(name, value, Origin::File)
            .expect("a right value");
    }
    let environment = Environment::default();
    Database::new(DatabaseSettings::new(
        &settings,
        &environment,
        Path::new("/nosuch"),
    ))
}

/// One that the server takes in.
fn at(server: &MariaDb, timeout: &str) -> Database<u64> {
    let place = server.place();
    database(&[
        ("P_DB", &place),
        ("P_DBCRED", CREDENTIALS),
        ("db_timeout", timeout),
    ])
}

fn start(
    database: &Database<u64>,
    name: u64,
    transaction: Option<u64>,
    sql: &str,
    values: &[SqlValue],
) -> Option<DatabaseDone> {
    let (sql, values) = (Box::<str>::from(sql), values.to_vec());
    let op = match sql.starts_with("select") || sql.starts_with("show") {
        true => DatabaseOp::Query { sql, values },
        false => DatabaseOp::Exec { sql, values },
    };
    let answered = database.run(name, DatabaseJob { transaction, op })?;
    assert_eq!(answered.name, name);
    Some(answered.done)
}

#[track_caller]
fn run(database: &Database<u64>, transaction: Option<u64>, sql: &str) -> DatabaseDone {
    start(database, 1, transaction, sql, &[]).expect("it need not wait")
}

#[track_caller]
fn rows(database: &Database<u64>, transaction: Option<u64>, sql: &str) -> Vec<Vec<SqlValue>> {
    match run(database, transaction, sql) {
        Ok(DatabaseAnswer::Rows { rows, .. }) => rows,
        other => panic!("{sql}: {other:?}"),
    }
}

#[track_caller]
fn exec(database: &Database<u64>, transaction: Option<u64>, sql: &str) -> (u64, i64) {
    match run(database, transaction, sql) {
        Ok(DatabaseAnswer::Changed { rows, insert_id }) => (rows, insert_id),
        other => panic!("{sql}: {other:?}"),
    }
}

#[track_caller]
fn error(database: &Database<u64>, transaction: Option<u64>, sql: &str) -> String {
    run(database, transaction, sql).expect_err(sql).into()
}

fn end(database: &Database<u64>, transaction: u64, commit: bool) -> DatabaseDone {
    let job = DatabaseJob {
        transaction: Some(transaction),
        op: DatabaseOp::End { commit },
    };
    database.run(1, job).expect("it need not wait").done
}

fn text(text: &str) -> SqlValue {
    Text(text.into())
}

// One test: a server takes seconds to make.
#[test]
fn a_mariadb_server() {
    let Some(mut server) = MariaDb::start() else {
        return;
    };
    strangers_are_told_why(&server);
    values_come_back_as_they_are(&server);
    changes_tell_rows_and_ids(&server);
    transactions_are_whole_and_alone(&server);
    a_deadlock_ends_one_of_two(&server);
    nothing_is_left_behind_in_a_connection(&server);
    statements_and_results_are_bounded(&server);
    connections_are_bounded_and_waited_for(&server);
    lost_connections_are_opened_anew(&server);
    a_narrow_table_takes_what_fits(&server);
    calls_are_logged(&server.place());
    the_server_may_be_started_anew(&mut server);
}

/// Not beside other tests of SQLite: its memory is that of the whole process.
#[test]
fn the_memory_of_a_file_is_bounded() {
    let folder = Folder::new();
    let database = database(&[("P_DB", &folder.0.join("x.db").display().to_string())]);
    let values = "randomblob(15000000), ".repeat(100);
    let sql = format!("select {values} 1");
    assert_eq!(error(&database, None, &sql), "out of memory");
    assert_eq!(rows(&database, None, "select 1"), [[Integer(1)]]);
}

#[test]
fn a_file() {
    let folder = Folder::new();
    calls_are_logged(&folder.0.join("calls.db").display().to_string());
}

fn strangers_are_told_why(server: &MariaDb) {
    let place = server.place();
    for (place, credentials, want) in [
        (place.as_str(), "demo:wrong", "Access denied"),
        (&place.replace("jdtest", "nosuch"), CREDENTIALS, "nosuch"),
        ("127.0.0.1:1/x", CREDENTIALS, "Connection refused"),
        ("no.such.host.invalid/x", CREDENTIALS, ""),
        (&place, "", "P_DBCRED"),
    ] {
        let named = [("P_DB", place), ("P_DBCRED", credentials)];
        let test_mode = [named[0], named[1], ("P_TEST_MODE", "1")];
        let told = error(&database(&test_mode), None, "select 1");
        assert!(told.contains(want) && !told.contains("123"), "{told}");
        let told = error(&database(&named), None, "select 1");
        let is_general = told == "the database cannot be reached: see the server's log";
        assert!(is_general || want == "P_DBCRED", "{told}");
    }
    let base64 = "ZGVtbzpkZW1vOjEyMw==";
    let database = database(&[("P_DB", &place), ("P_DBCRED", base64)]);
    assert_eq!(rows(&database, None, "select 1"), [[Integer(1)]]);
}

fn values_come_back_as_they_are(server: &MariaDb) {
    let database = at(server, "10");
    exec(
        &database,
        None,
        "create table v (a int, b bigint, c double, d varchar(50), e blob)",
    );
    let values = [
        Null,
        Integer(i64::MIN),
        Real(0.1),
        text("it's 'é' 😀"),
        Blob([0, 255].into()),
    ];
    let insert = "insert into v values (?, ?, ?, ?, ?)";
    let done = start(&database, 1, None, insert, &values).expect("no wait");
    let changed = DatabaseAnswer::Changed {
        rows: 1,
        insert_id: 0,
    };
    assert_eq!(done, Ok(changed));
    let done = run(&database, None, "select a, b as B, c, d, e from v");
    let columns = ["a", "B", "c", "d", "e"].map(Box::from).to_vec();
    let rows_of_it = vec![values.to_vec()];
    assert_eq!(
        done,
        Ok(DatabaseAnswer::Rows {
            columns,
            rows: rows_of_it
        })
    );
    let sql = "select cast('12.50' as decimal(9,2)), date('2026-01-02'), timestamp('2026-01-02 03:04:05'), \
               cast('26:00:01' as time), cast(18446744073709551615 as unsigned), b'101', cast(0.1 as float), sum(1)";
    let want = [
        text("12.50"),
        text("2026-01-02"),
        text("2026-01-02 03:04:05"),
        text("26:00:01"),
        text("18446744073709551615"),
        text("\u{5}"),
        Real(0.1),
        text("1"),
    ];
    assert_eq!(rows(&database, None, sql), [want]);
    for (sql, values, want) in [
        (
            "select ?",
            &[][..],
            "the statement takes 1 values, 0 are given",
        ),
        (
            "select 1",
            &[Null][..],
            "the statement takes 0 values, 1 are given",
        ),
        (
            "select * from nosuch",
            &[][..],
            "Table 'jdtest.nosuch' doesn't exist (1146)",
        ),
        (
            "commit",
            &[][..],
            "a call's transaction begins and ends by itself: `commit` is not run",
        ),
    ] {
        let done = start(&database, 1, None, sql, values).expect("no wait");
        assert_eq!(done.map_err(String::from), Err(want.to_owned()));
    }
    assert!(error(&database, None, "select 1; select 2").contains("syntax"));
}

fn changes_tell_rows_and_ids(server: &MariaDb) {
    let database = at(server, "10");
    exec(
        &database,
        None,
        "create table c (id int auto_increment primary key, a int)",
    );
    assert_eq!(
        exec(&database, None, "insert into c (a) values (1), (2), (3)"),
        (3, 1)
    );
    assert_eq!(
        exec(&database, None, "update c set a = 9 where id > 1"),
        (2, 0)
    );
    assert_eq!(exec(&database, None, "delete from c"), (3, 0));
    assert_eq!(
        exec(&database, None, "insert into c (a) values (1)"),
        (1, 4)
    );
}

fn transactions_are_whole_and_alone(server: &MariaDb) {
    let database = at(server, "10");
    exec(&database, None, "create table t (a int unique)");
    exec(&database, Some(7), "insert into t values (1)");
    assert_eq!(rows(&database, Some(7), "select a from t"), [[Integer(1)]]);
    assert_eq!(rows(&database, None, "select a from t"), [[]; 0]);
    // Others change something meanwhile.
    exec(&database, None, "insert into t values (2)");
    assert!(run(&database, Some(7), "insert into t values (1)").is_err());
    exec(&database, Some(7), "insert into t values (3)");
    assert_eq!(end(&database, 7, true), Ok(DatabaseAnswer::Ended));
    exec(&database, Some(8), "delete from t");
    assert_eq!(end(&database, 8, false), Ok(DatabaseAnswer::Ended));
    let all = [[Integer(1)], [Integer(2)], [Integer(3)]];
    assert_eq!(rows(&database, None, "select a from t order by a"), all);
    // A read that locks begins the transaction, or its lock would be gone at once.
    rows(&database, Some(9), "select a from t where a = 1 for update");
    let nowait = "select a from t where a = 1 for update nowait";
    assert!(error(&database, Some(10), nowait).contains("(1205)"));
    assert_eq!(end(&database, 9, true), Ok(DatabaseAnswer::Ended));
    rows(&database, Some(10), nowait);
    assert_eq!(end(&database, 10, true), Ok(DatabaseAnswer::Ended));
}

fn a_deadlock_ends_one_of_two(server: &MariaDb) {
    let database = at(server, "10");
    exec(&database, Some(1), "update t set a = 10 where a = 1");
    exec(&database, Some(2), "update t set a = 20 where a = 2");
    let outcomes = std::thread::scope(|scope| {
        let first = scope.spawn(|| run(&database, Some(1), "update t set a = 20 where a = 2"));
        let second = scope.spawn(|| run(&database, Some(2), "update t set a = 10 where a = 1"));
        [first, second].map(|thread| thread.join().expect("no panic"))
    });
    let lost = outcomes
        .iter()
        .position(Result::is_err)
        .expect("one of them");
    let (lost, won) = (lost as u64 + 1, 2 - lost as u64);
    let gone = "the transaction was rolled back before";
    assert_eq!(error(&database, Some(lost), "select 1"), gone);
    assert_eq!(end(&database, lost, true), Err(gone.into()));
    assert_eq!(end(&database, won, false), Ok(DatabaseAnswer::Ended));
}

fn nothing_is_left_behind_in_a_connection(server: &MariaDb) {
    let database = at(server, "10");
    let id = rows(&database, None, "select connection_id()");
    exec(&database, None, "set @a = 1");
    exec(&database, Some(1), "create temporary table temp (a int)");
    exec(&database, Some(1), "insert into temp values (1)");
    assert_eq!(
        rows(&database, Some(1), "select a from temp"),
        [[Integer(1)]]
    );
    assert_eq!(end(&database, 1, true), Ok(DatabaseAnswer::Ended));
    assert_eq!(rows(&database, None, "select @a"), [[Null]]);
    rows(&database, None, "select @a := 1, get_lock('x', 1)");
    assert_eq!(
        rows(&database, None, "select @a, is_free_lock('x')"),
        [[Null, Integer(1)]]
    );
    assert!(error(&database, None, "select * from temp").contains("doesn't exist"));
    assert_eq!(
        rows(&database, None, "select connection_id()"),
        id,
        "the same one"
    );
    let limits = "select @@max_statement_time, @@sql_select_limit";
    assert_eq!(
        rows(&database, None, limits),
        [[Real(10.0), Integer(50_001)]]
    );
}

fn statements_and_results_are_bounded(server: &MariaDb) {
    let database = at(server, "0.2");
    let begun = Instant::now();
    assert_eq!(
        error(&database, None, "select sleep(15)"),
        "timeout: it took longer than 200 ms"
    );
    exec(&database, Some(1), "update t set a = 10 where a = 1");
    let late = error(&database, Some(2), "update t set a = 11 where a = 1");
    assert!(
        late.starts_with("timeout") || late.contains("(1205)"),
        "{late}"
    );
    assert_eq!(end(&database, 1, false), Ok(DatabaseAnswer::Ended));
    // What the server does not limit: the connection is given up, and the server told so.
    exec(&database, None, "set @@max_statement_time = 0");
    let id = rows(&database, None, "select connection_id()");
    let sql = "do sleep(15)";
    exec(&database, Some(3), "set @@max_statement_time = 0");
    assert_eq!(
        error(&database, Some(3), sql),
        "timeout: it took longer than 200 ms"
    );
    // More than anyone would read, and no limit of the server's: the rest is not waited for.
    let rest = "select repeat('x', 100000), seq from seq_1_to_10000000 limit 10000000";
    for (transaction, is_query) in [(4, true), (5, false)] {
        exec(&database, Some(transaction), "set @@max_statement_time = 0");
        let (sql, values) = (rest.into(), Vec::new());
        let op = match is_query {
            true => DatabaseOp::Query { sql, values },
            false => DatabaseOp::Exec { sql, values },
        };
        let transaction = Some(transaction);
        let answered = database.run(1, DatabaseJob { transaction, op });
        let done = answered.expect("it need not wait").done;
        assert_eq!(
            done.expect_err("too much"),
            "timeout: it took longer than 200 ms".into()
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    let gone = "the transaction was rolled back before";
    assert_eq!(end(&database, 3, true), Err(gone.into()));
    assert_ne!(rows(&database, None, "select connection_id()"), id);
    let database = at(server, "10");
    let many = error(&database, None, "select seq from seq_1_to_1000000");
    assert_eq!(many, "the result has more than 50000 rows: LIMIT it");
    let many = error(
        &database,
        None,
        "select seq from seq_1_to_1000000 limit 900000",
    );
    assert_eq!(many, "the result has more than 50000 rows: LIMIT it");
    let large = "select repeat('x', 1000000) from seq_1_to_30";
    assert_eq!(
        error(&database, None, large),
        "the result takes more than 16 MiB: LIMIT it"
    );
    assert_eq!(
        rows(&database, None, "select seq from seq_1_to_50000").len(),
        50_000
    );
}

fn connections_are_bounded_and_waited_for(server: &MariaDb) {
    let database = at(server, "10");
    for transaction in 1..=CONNECTIONS {
        exec(&database, Some(transaction), "set @a = 1");
    }
    assert_eq!(start(&database, 100, None, "select 1", &[]), None);
    assert_eq!(start(&database, 101, Some(99), "set @a = 1", &[]), None);
    assert!(matches!(database.poll(), Waiting::Until(_)));
    assert_eq!(end(&database, 5, true), Ok(DatabaseAnswer::Ended));
    for name in [100, 101] {
        match database.poll() {
            Waiting::Answered(answered) if answered.name == name => assert!(answered.done.is_ok()),
            other => panic!("{other:?}"),
        }
    }
}

fn lost_connections_are_opened_anew(server: &MariaDb) {
    let (database, other) = (at(server, "10"), at(server, "10"));
    let kill = |transaction| match rows(&database, transaction, "select connection_id()")[..] {
        [ref row] => match row[..] {
            [Integer(id)] => exec(&other, None, &format!("kill {id}")),
            _ => panic!("{row:?}"),
        },
        ref rows => panic!("{rows:?}"),
    };
    kill(None);
    assert_eq!(rows(&database, None, "select 1"), [[Integer(1)]]);
    kill(None);
    exec(&database, None, "insert into c (a) values (7)");
    kill(None);
    exec(&database, Some(1), "insert into c (a) values (8)");
    kill(Some(1));
    assert!(run(&database, Some(1), "insert into c (a) values (9)").is_err());
    let gone = "the transaction was rolled back before";
    assert_eq!(error(&database, Some(1), "select 1"), gone);
    assert_eq!(end(&database, 1, true), Err(gone.into()));
    assert_eq!(
        rows(&database, None, "select a from c where a > 6"),
        [[Integer(7)]]
    );
}

fn the_server_may_be_started_anew(server: &mut MariaDb) {
    let database = at(server, "10");
    exec(&database, Some(1), "insert into c (a) values (8)");
    rows(&database, None, "select 1");
    server.restart();
    exec(&database, None, "insert into c (a) values (9)");
    assert!(run(&database, Some(1), "insert into c (a) values (8)").is_err());
    assert_eq!(end(&database, 1, false), Ok(DatabaseAnswer::Ended));
    assert_eq!(
        rows(&database, None, "select a from c where a > 7"),
        [[Integer(9)]]
    );
}

/// As the original makes it; nobody can keep the calls of others out by what does not fit.
fn a_narrow_table_takes_what_fits(server: &MariaDb) {
    let database = at(server, "10");
    exec(
        &database,
        None,
        "create table ApiLog (id int auto_increment primary key, tm datetime, addr varchar(10), ua varchar(5), app varchar(5), \
         ses varchar(20), userId int, ac varchar(5), t int, retval int, req text, res text, reqsz int, ressz int, \
         ver varchar(5), serverRev varchar(10)) default charset utf8mb3",
    );
    let record = |action: &str, user_agent: &str| ApiRecord {
        began: "2026-01-02 03:04:05".into(),
        action: action.into(),
        user_agent: user_agent.into(),
        answer_bytes: u64::MAX,
        ..ApiRecord::default()
    };
    let records = vec![
        record("first", "tea"),
        record("long name", "t\u{1f375}"),
        record("third", "tea"),
    ];
    let answered = database.log(1, records).expect("it need not wait");
    assert_eq!(answered.done, Ok(DatabaseAnswer::Ended));
    assert_eq!(
        rows(&database, None, "select ac from ApiLog order by id"),
        [[text("first")], [text("long ")], [text("third")]]
    );
    exec(&database, None, "drop table ApiLog");
}

const LOGIN: &str = r#"
function api_login(env) env:session_start() env._SESSION.uid = 42 end
function api_whoami(env) env:session_start() return env._SESSION.uid end
function api_fails(env) env:session_start() jdRet(E_FORBIDDEN, "no") end
function api_logout(env) env:session_destroy() end
"#;

/// The daemon itself, from the settings to the table.
fn calls_are_logged(place: &str) {
    let settings = format!("P_DB = '{place}'\nP_DBCRED = '{CREDENTIALS}'\nenableApiLog = 1\n");
    let server = Server::setup()
        .settings(&settings)
        .file("api.lua", LOGIN)
        .start();
    let login = ask_port(server.port(), "GET", "/login", "User-Agent: tea\r\n", "");
    let cookie = login.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair");
    let header = format!("Cookie: {cookie}\r\n");
    for target in ["/whoami?_app=user2", "/fails?pwd=x", "/logout"] {
        ask_port(server.port(), "GET", target, &header, "");
    }
    let calls =
        r#"[{"ac":"getUsers","get":{"app":"a"}},{"ac":"push","post":{"app":"a","pwd":"x"}}]"#;
    let type_is_json = "Content-Type: application/json\r\n";
    for n in 0..20 {
        let target = format!("/getUsers?app=a{n}&_ver=1");
        ask_port(server.port(), "GET", &target, "", "");
    }
    ask_port(server.port(), "POST", "/batch", type_is_json, calls);
    server.stopped("TERM");
    let database = database(&[("P_DB", place), ("P_DBCRED", CREDENTIALS)]);
    let sql = "select ac, count(*), min(retval), max(ver) from ApiLog group by ac order by ac";
    let want = [
        [text("batch"), Integer(1), Integer(0), text("")],
        [text("fails"), Integer(1), Integer(5), text("")],
        [text("getUsers"), Integer(20), Integer(0), text("1")],
        [text("login"), Integer(1), Integer(0), text("")],
        [text("logout"), Integer(1), Integer(0), text("")],
        [text("whoami"), Integer(1), Integer(0), text("")],
    ];
    assert_eq!(rows(&database, None, sql), want);
    let sql = "select ac, app, userId, req, res, reqsz, ressz, ses, serverRev from ApiLog where ses <> '' order by ac";
    let row = |ac: &str, app: &str, req: &str, res: &str, reqsz: i64| {
        [
            text(ac),
            text(app),
            Integer(42),
            text(req),
            text(res),
            Integer(reqsz),
            Integer(res.len() as i64 + 1),
            text(&cookie["userid=".len()..]),
            text(env!("CARGO_PKG_VERSION")),
        ]
    };
    let want = [
        row("fails", "user", "pwd=?", "[5,\"禁止操作\",\"no\"]", 12),
        row("login", "user", "", "[0,null]", 6),
        row("logout", "user", "", "[0,null]", 7),
        row("whoami", "user2", "_app=user2", "[0,42]", 18),
    ];
    assert_eq!(rows(&database, None, sql), want);
    let sql = "select ua, addr, t < 10000, length(tm) from ApiLog where ac = 'login'";
    let want = [text("tea"), text("127.0.0.1"), Integer(1), Integer(19)];
    assert_eq!(rows(&database, None, sql), [want]);
    let sql = "select b.ac, b.retval, b.req from ApiLog a, ApiLog1 b where a.id = b.apiLogId and a.ac = 'batch' order by b.id";
    let want = [
        [text("getUsers"), Integer(0), text(r#"{"app":"a"}"#)],
        [text("push"), Integer(1), text(r#"{"app":"a","pwd":"?"}"#)],
    ];
    assert_eq!(rows(&database, None, sql), want);
}
