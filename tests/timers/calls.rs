//! One-shots, intervals, crontab lines, and the calls that change them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::http::{Conn, ask};
use crate::common::server::Server;
use crate::common::wait_for;
use crate::sink::Sink;
use crate::{call, data, paths, quiet, set};

#[test]
fn one_shots_run_at_once_or_later_and_are_traced() {
    let (server, sink) = (Server::start(), Sink::start());
    let body = json!({"url": format!("{}/now?a=1", sink.url)});
    assert_eq!(data(&server, "/setTimeout", body), Value::Null);
    assert_eq!(paths(&sink, 1), ["/now?a=1"]);
    let started = Instant::now();
    let id = set(
        &server,
        json!({"url": format!("{}/later", sink.url), "wait": 120, "data": {"b": 2}}),
    );
    assert!(id < 0, "{id}");
    assert_eq!(paths(&sink, 1), ["/later"]);
    assert!(started.elapsed() >= Duration::from_millis(120), "early");
    let exec = server.line_in("trace.log", |line| {
        line.contains(" exec: httpCall(") && line.contains("/later")
    });
    assert!(
        exec.starts_with("=== REQ from [nil] at [") && exec.contains("] timer-"),
        "{exec}"
    );
    server.line_in("trace.log", |line| {
        line.contains("] timer-") && line.contains(" ret: sink-ok")
    });
}

#[test]
fn a_one_shot_can_be_cancelled() {
    let (server, sink) = (Server::start(), Sink::start());
    let id = set(
        &server,
        json!({"url": format!("{}/never", sink.url), "wait": 250}),
    );
    assert_eq!(
        data(&server, &format!("/Timer.del?id={id}"), Value::Null),
        Value::Null
    );
    quiet(&sink);
    assert_eq!(
        call(&server, &format!("/Timer.del?id={id}"), Value::Null),
        json!([1, "参数不正确", format!("bad timer {id}")])
    );
}

#[test]
fn failures_are_traced() {
    let server = Server::start();
    // Nobody listens on port 1.
    data(
        &server,
        "/setTimeout",
        json!({"url": "http://127.0.0.1:1/"}),
    );
    server.line_in("trace.log", |line| {
        line.contains("] timer-") && line.contains(" fails: ")
    });
}

#[test]
fn an_interval_is_paused_changed_and_deleted() {
    let (server, sink) = (Server::start(), Sink::start());
    let url = |path| format!("{}/{path}", sink.url);
    let id = set(
        &server,
        json!({"url": url("a"), "wait": 100, "cron": 1, "code": "app-obj-1"}),
    );
    assert!(id > 0, "{id}");
    assert_eq!(data(&server, "/stat", Value::Null)["jdserver_timer_cnt"], 1);
    assert_eq!(paths(&sink, 3)[..3], ["/a", "/a", "/a"]);
    data(&server, "/Timer.disable?code=app-obj-1", Value::Null);
    // One may have been under way.
    sink.take(1, Duration::from_millis(50));
    quiet(&sink);
    let row = &data(&server, "/Timer.get?code=app-obj-1", Value::Null);
    assert_eq!(
        (&row["disabled"], &row["id"]),
        (&json!(true), &json!(id)),
        "{row}"
    );
    data(&server, &format!("/Timer.enable?id={id}"), Value::Null);
    assert_eq!(paths(&sink, 1)[0], "/a");
    data(
        &server,
        &format!("/Timer.set?id={id}"),
        json!({"url": url("b"), "code": "app-obj-2"}),
    );
    wait_for("the new URL", || {
        (paths(&sink, 1).last().map(String::as_str) == Some("/b")).then_some(())
    });
    assert_eq!(
        call(&server, "/Timer.del?code=app-obj-1", Value::Null),
        json!([1, "参数不正确", "bad timer app-obj-1"])
    );
    data(&server, "/Timer.del?code=app-obj-2", Value::Null);
    assert_eq!(data(&server, "/Timer.query", Value::Null), json!([]));
    assert_eq!(data(&server, "/stat", Value::Null)["jdserver_timer_cnt"], 0);
}

#[test]
fn rows_keep_the_fields_as_given_with_id_behind_them() {
    let server = Server::start();
    let first = ask(
        &server,
        "POST",
        "/setTimeout",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "wait=60000&url=http://h/&cron=9+0+*+*+*&code=a-b-c&x=<y>&data[c]=3",
    );
    let id: i64 = first.text()[3..]
        .trim_end_matches("]\n")
        .parse()
        .expect("an id");
    let rows = ask(&server, "GET", "/Timer.query?_raw=1", "", "").text();
    let head = format!(
        "[{{\"wait\":\"60000\",\"url\":\"http://h/\",\"cron\":\"9 0 * * *\",\"code\":\"a-b-c\",\"x\":\"<y>\",\
         \"data\":{{\"c\":\"3\"}},\"id\":{id}"
    );
    assert!(rows.starts_with(&head), "{rows}");
}

#[test]
fn a_set_that_fails_changes_nothing() {
    let server = Server::start();
    let body = json!({"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c"});
    let id = set(&server, body);
    let before = data(&server, "/Timer.query", Value::Null);
    for bad in [
        json!({"cron": "61 * * * *"}),
        json!({"code": "nodash"}),
        json!({"cron": 1}),
        json!({"url": "ftp://h/"}),
        json!({"url": ""}),
    ] {
        let answer = call(&server, &format!("/Timer.set?id={id}"), bad.clone());
        assert_eq!(answer[0], 1, "{bad}: {answer}");
    }
    assert_eq!(data(&server, "/Timer.query", Value::Null), before);
}

#[test]
fn only_http_and_https() {
    let server = Server::start();
    for url in ["ftp://h/", "file:///etc/passwd", "gopher://h/"] {
        let answer = call(&server, "/setTimeout", json!({"url": url, "wait": 60_000}));
        assert_eq!(answer[0], 1, "{url}: {answer}");
    }
}

#[test]
fn preview_lists_the_next_times() {
    let server = Server::start();
    let target = "/Timer.preview?cron=0+9+*+*+mon&tz=Asia/Shanghai&from=1795276800&n=2";
    let got = data(&server, target, Value::Null);
    assert_eq!(got["tz"], "Asia/Shanghai", "{got}");
    // 2026-11-23 and 2026-11-30, Mondays, 09:00 in Shanghai.
    assert_eq!(
        got["list"],
        json!([
            {"t": 1_795_395_600, "tm": "2026-11-23 09:00:00"},
            {"t": 1_796_000_400, "tm": "2026-11-30 09:00:00"},
        ])
    );
    let now = data(&server, "/Timer.preview?cron=@hourly", Value::Null);
    assert_eq!(now["list"].as_array().map(Vec::len), Some(5), "{now}");
    let bad = call(&server, "/Timer.preview?cron=61+*+*+*+*", Value::Null);
    assert_eq!(bad[1], "时间设置(cron)不正确", "{bad}");
}

#[test]
fn a_batch_sets_and_deletes() {
    let server = Server::start();
    let batch = json!([
        {"ac": "setTimeout", "post": {"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c"}},
        {"ac": "Timer.get", "get": {"id": "{$1}"}, "ref": ["id"]},
        {"ac": "Timer/set/99", "post": {"wait": 1}},
        {"ac": "Timer.del", "get": {"id": "{$1}"}, "ref": ["id"]},
        {"ac": "Timer.query"},
    ]);
    let answers = data(&server, "/batch", batch);
    assert!(answers[0][1].as_i64() > Some(0), "{answers}");
    assert_eq!(answers[1][1]["id"], answers[0][1], "{answers}");
    assert_eq!(answers[2], json!([1, "参数不正确", "bad timer 99"]));
    assert_eq!(answers[3], json!([0, null]));
    assert_eq!(answers[4], json!([0, []]));
}

#[test]
fn a_caller_that_writes_and_closes_is_heard() {
    let (server, sink) = (Server::start(), Sink::start());
    let body = json!({"url": format!("{}/gone", sink.url)}).to_string();
    let mut conn = Conn::open(&server);
    conn.send(format!(
        "POST /setTimeout HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    drop(conn);
    assert_eq!(paths(&sink, 1), ["/gone"]);
}

#[test]
fn pipelined_calls_are_answered_in_order() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    let mut text = String::new();
    for n in 0..200 {
        text += &format!("GET /Timer.get?id={} HTTP/1.1\r\nHost: h\r\n\r\n", n + 1);
    }
    conn.send(text);
    for n in 0..200 {
        let want = format!("[1,\"参数不正确\",\"bad timer {}\"]\n", n + 1);
        assert_eq!(conn.answer().text(), want);
    }
}

#[test]
fn long_lists_come_whole_in_every_shape() {
    let server = Server::start();
    let calls: Vec<Value> = (0..1_000)
        .map(|n| {
            json!({"ac": "setTimeout", "post": {
                "url": format!("http://h/{n}"), "cron": "1 1 * * *", "code": format!("a-b-{n}")}})
        })
        .collect();
    data(&server, "/batch", json!(calls));
    let rows = data(&server, "/Timer.query", Value::Null);
    assert_eq!(rows.as_array().map(Vec::len), Some(1_000));
    assert_eq!(rows[999]["url"], "http://h/999");
    let raw = ask(&server, "GET", "/Timer.query?_raw=1", "", "").text();
    assert_eq!(serde_json::from_str::<Value>(&raw).expect("JSON"), rows);
    let object = ask(&server, "GET", "/Timer.query?retfn=obj", "", "").text();
    let object: Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!(object, json!({"code": 0, "data": rows}));
    let xml = ask(&server, "GET", "/Timer.query?retfn=xml", "", "").text();
    assert!(xml.contains("<data count=\"1000\">"), "{}", &xml[..200]);
    data(&server, "/Timer.clear", Value::Null);
    assert_eq!(data(&server, "/Timer.query", Value::Null), json!([]));
}
