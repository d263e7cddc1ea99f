//! What calls and objects of plugins answer.

use crate::common::http::{ask, get};
use crate::common::server::Server;
use crate::common::wait_for;
use crate::shop;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn calls() {
    let server = shop();
    for (target, answer) in [
        (
            "/price?price=1.255&qty=2",
            "[0,{\"qty\":2,\"sum\":2.51,\"user\":\"user\"}]\n",
        ),
        (
            "/price",
            "[1,\"缺少参数`price`\",\"Bad Request - param `price` is missing\"]\n",
        ),
        (
            "/price?price=x",
            "[1,\"参数不正确\",\"Bad Request - numeric param `price`=`x`.\"]\n",
        ),
        ("/price?price=1&qty=0", "[1,\"数量不正确\",\"bad qty\"]\n"),
        ("/cheap?price=3", "[0,[3,5]]\n"),
        ("/cheap?price=3&_raw=1", "[3,5]\n"),
        ("/csv", "id;name\n1;tea\n"),
    ] {
        assert_eq!(get(&server, target), answer, "{target}");
    }
    let csv = ask(&server, "GET", "/csv", "", "");
    assert_eq!(csv.header("content-type"), Some("text/csv"));
    let batch = "[{\"ac\":\"price\",\"get\":{\"price\":4}},{\"ac\":\"cheap\",\"get\":{\"price\":\"{$1.sum}\"},\"ref\":[\"price\"]}]";
    let answer = ask(
        &server,
        "POST",
        "/batch",
        "Content-Type: application/json\r\n",
        batch,
    );
    assert_eq!(
        answer.text(),
        "[0,[[0,{\"qty\":1,\"sum\":4,\"user\":\"user\"}],[0,[4,5]]]]\n"
    );
}

#[test]
fn a_session_lasts_from_call_to_call() {
    let server = shop();
    let first = ask(&server, "GET", "/visits", "", "");
    assert_eq!(first.text(), "[0,1]\n");
    let cookie = first.header("set-cookie").expect("a cookie");
    let (pair, attributes) = cookie.split_once(';').expect("attributes");
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
    let header = format!("Cookie: {pair}\r\n");
    let second = ask(&server, "GET", "/visits", &header, "");
    assert_eq!(second.text(), "[0,2]\n");
    assert_eq!(second.header("set-cookie"), None);
}

/// Each writes what it changed over what is there, not over what it has read.
#[test]
fn calls_of_one_session_at_once_lose_nothing() {
    let server = shop();
    let visit = ask(&server, "GET", "/visits", "", "");
    let cookie = visit.header("set-cookie").expect("a cookie");
    let header = format!("Cookie: {cookie}\r\n");
    let get = |target: &str| ask(&server, "GET", target, &header, "").text();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get("/first"));
        // It has read the session once it waits.
        wait_for("the first call to wait", || {
            (get("/begun") == "[0,true]\n").then_some(())
        });
        assert_eq!(get("/second"), "[0,null]\n");
        assert_eq!(
            first.join().expect("no panic"),
            "[0,{\"first\":true,\"n\":1}]\n"
        );
    });
    assert_eq!(get("/session"), "[0,{\"first\":true,\"second\":true}]\n");
}

/// The call fails with the database's words, and the next one finds all as it was.
#[test]
fn a_statement_has_a_time_limit() {
    let server = Server::setup()
        .settings("db_timeout = 0.05\n")
        .file("api.lua", SLOW)
        .start();
    assert_eq!(get(&server, "/make"), "[0,1]\n");
    assert_eq!(
        get(&server, "/endless"),
        "[3,\"数据库错误\",\"timeout: it took longer than 50 ms\"]\n"
    );
    assert_eq!(get(&server, "/count"), "[0,1]\n");
}

/// Where a database is and who asks is the operator's to know, and in test mode the developer's.
#[test]
fn an_unreachable_database_is_named_in_the_log_only() {
    let reason = "cannot connect to 127.0.0.1:1: ";
    for (mode, begin) in [
        (0, "the database cannot be reached: see the server's log"),
        (1, reason),
    ] {
        let server = Server::setup()
            .settings(&format!(
                "P_DB = '127.0.0.1:1/x'\nP_DBCRED = 'demo:secret'\nP_TEST_MODE = {}\n",
                mode == 1
            ))
            .file("api.lua", SLOW)
            .start();
        let answer = get(&server, "/count");
        let want = format!("[3,\"数据库错误\",\"{begin}");
        assert!(answer.starts_with(&want), "{answer}");
        assert_eq!(answer.contains("127.0.0.1"), mode == 1, "{answer}");
        let line = server.line(|line| line.contains(reason));
        assert!(!line.contains("secret"), "{line}");
    }
}

const SLOW: &str = r#"
function api_make()
  execOne("CREATE TABLE T (a)")
  return execOne("INSERT INTO T VALUES (1)")
end
function api_endless()
  execOne("DELETE FROM T")
  execOne("INSERT INTO T WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
end
function api_count() return queryOne("SELECT COUNT(*) FROM T") end
"#;

#[test]
fn a_batch_goes_on_in_the_session_that_it_began() {
    let server = shop();
    let calls = r#"[{"ac":"visits"},{"ac":"visits"},{"ac":"session"}]"#;
    let answer = ask(
        &server,
        "POST",
        "/batch",
        "Content-Type: application/json\r\n",
        calls,
    );
    assert_eq!(answer.text(), "[0,[[0,1],[0,2],[0,{\"n\":2}]]]\n");
}

#[test]
fn an_object_keeps_rows_in_a_database() {
    let server = shop();
    let post = |target: &str, body: &str| ask(&server, "POST", target, FORM, body).text();
    assert_eq!(post("/Item", "name=tea&qty=3"), "[0,1]\n");
    assert_eq!(post("/Item", "name=rice"), "[0,2]\n");
    assert_eq!(
        get(&server, "/Item/1"),
        "[0,{\"id\":1,\"name\":\"tea\",\"qty\":3}]\n"
    );
    assert_eq!(post("/Item/1/set", "qty=4"), "[0,1]\n");
    assert_eq!(
        get(&server, "/Item.fail"),
        "[5,\"禁止操作\",\"not today\"]\n"
    );
    assert_eq!(
        get(&server, "/Item"),
        "[0,[{\"id\":1,\"name\":\"tea\",\"qty\":4},{\"id\":2,\"name\":\"rice\",\"qty\":1}]]\n"
    );
    assert_eq!(
        get(&server, "/Item/7"),
        "[1,\"参数不正确\",\"no such item\"]\n"
    );
    assert_eq!(
        get(&server, "/Item.nosuch"),
        "[1,\"接口不支持\",\"Bad request - unknown `Item` method: `nosuch`\"]\n"
    );
}
