//! What a restart finds again: after an ordered stop, and after one that nobody was told of.

use std::fs;

use serde_json::{Value, json};

use crate::common::server::Server;
use crate::common::wait_for;
use crate::sink::Sink;
use crate::{call, data, paths, quiet, set};

/// The fields that a call gave, without the columns of ours that change by themselves.
fn fields(row: &Value) -> Value {
    let mut fields = row.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|name, _| {
            ["url", "cron", "wait", "code", "disabled", "x", "id"].contains(&name.as_str())
        });
    }
    fields
}

#[track_caller]
fn check(signal: &str) {
    let (server, sink) = (Server::start(), Sink::start());
    let url = format!("{}/i", sink.url);
    let line =
        json!({"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c", "x": [1, {"y": null}]});
    let gone = set(&server, json!({"url": "http://h/", "cron": "2 2 * * *"}));
    let line = set(&server, line);
    data(&server, &format!("/Timer.del?id={gone}"), Value::Null);
    data(&server, "/Timer.disable?code=a-b-c", Value::Null);
    let interval = set(&server, json!({"url": url, "wait": 60_000, "cron": 1}));
    // Right after the answer.
    let setup = server.stopped(signal);
    assert!(paths_or_none(&sink).iter().all(|path| path == "/i"));
    let server = setup.start();
    assert_eq!(paths(&sink, 1), ["/i"], "an interval runs at once");
    let rows = data(&server, "/Timer.query", Value::Null);
    assert_eq!(
        (fields(&rows[0]), fields(&rows[1]), rows.get(2)),
        (
            json!({"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c", "x": [1, {"y": null}],
                "disabled": true, "id": line}),
            json!({"url": url, "wait": 60_000, "cron": 1, "id": interval}),
            None
        )
    );
    let next = set(&server, json!({"url": "http://h/", "cron": "3 3 * * *"}));
    assert_eq!(next, interval + 1, "ids never start over");
    assert_eq!(data(&server, "/stat", Value::Null)["jdserver_timer_cnt"], 3);
}

fn paths_or_none(sink: &Sink) -> Vec<String> {
    let hits = sink.take(0, std::time::Duration::ZERO);
    hits.iter()
        .map(|hit| hit["path"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn after_an_ordered_stop() {
    check("TERM");
}

#[test]
fn after_a_kill_right_behind_the_answer() {
    check("KILL");
}

#[test]
fn ids_never_start_over_after_a_clear() {
    for signal in ["TERM", "KILL"] {
        let server = Server::start();
        let first = set(&server, json!({"url": "http://h/", "cron": "1 1 * * *"}));
        data(&server, "/Timer.clear", Value::Null);
        let server = server.stopped(signal).start();
        assert_eq!(data(&server, "/Timer.query", Value::Null), json!([]));
        let next = set(&server, json!({"url": "http://h/", "cron": "1 1 * * *"}));
        assert_eq!(next, first + 1, "{signal}");
    }
}

#[test]
fn the_file_is_in_the_original_format_and_soon_written() {
    let server = Server::start();
    let body =
        json!({"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c", "data": {"k": "中"}});
    let id = set(&server, body);
    let path = server.folder().join("timer.json");
    let file: Value = wait_for("timer.json", || {
        let file: Value = serde_json::from_slice(&fs::read(&path).ok()?).expect("always whole");
        (file["list"].as_array()?.len() == 1).then_some(file)
    });
    assert_eq!(file["nextId"], json!(id + 1));
    assert_eq!(
        file["list"],
        json!([{"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c", "data": {"k": "中"}, "id": id}])
    );
}

#[test]
fn a_file_of_the_original_loads_and_runs() {
    let sink = Sink::start();
    let file = json!({"nextId": 12, "list": [
        {"url": format!("{}/i", sink.url), "wait": 60_000, "cron": 1, "code": "", "id": 3},
        {"url": "http://h/", "cron": "61 * * * *", "code": "a-b-c", "note": {"kept": true}, "id": 7},
        {"url": format!("{}/off", sink.url), "wait": "200", "cron": "1", "disabled": true, "id": 9},
    ]});
    let server = Server::setup()
        .file("timer.json", &file.to_string())
        .start();
    assert_eq!(paths(&sink, 1), ["/i"]);
    quiet(&sink);
    let rows = data(&server, "/Timer.query", Value::Null);
    let ids: Vec<_> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["id"].as_i64())
        .collect();
    assert_eq!(ids, [Some(3), Some(7), Some(9)]);
    assert_eq!(rows[1]["note"], json!({"kept": true}));
    server
        .line(|line| line.contains("61 * * * *") || (line.contains("timer") && line.contains('7')));
    assert_eq!(
        set(&server, json!({"url": "http://h/", "cron": "1 1 * * *"})),
        12
    );
    let folder = server.folder().to_owned();
    let _setup = server.stopped("TERM");
    let saved: Value =
        serde_json::from_slice(&fs::read(folder.join("timer.json")).expect("file")).expect("JSON");
    assert_eq!(saved["list"][1], file["list"][1], "kept as it was");
    assert_eq!(saved["list"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_persistent_one_shot_survives() {
    for signal in ["TERM", "KILL"] {
        let (server, sink) = (Server::start(), Sink::start());
        let id = set(
            &server,
            json!({"url": format!("{}/p", sink.url), "wait": 1_500, "persist": 1}),
        );
        assert!(id < 0, "{id}");
        let server = server.stopped(signal).start();
        let rows = data(&server, "/Timer.query", Value::Null);
        assert_eq!(rows[0]["id"], json!(id), "{signal}: {rows}");
        assert_eq!(paths(&sink, 1), ["/p"], "{signal}");
        wait_for("it to be over", || {
            (data(&server, "/Timer.query", Value::Null) == json!([])).then_some(())
        });
        let server = server.stopped("TERM").start();
        quiet(&sink);
        assert_eq!(data(&server, "/Timer.query", Value::Null), json!([]));
        let next = set(
            &server,
            json!({"url": "http://h/", "wait": 60_000, "persist": 1}),
        );
        assert!(next < id, "{next} after {id}");
    }
}

#[test]
fn other_one_shots_do_not() {
    let (server, sink) = (Server::start(), Sink::start());
    set(
        &server,
        json!({"url": format!("{}/n", sink.url), "wait": 200}),
    );
    let server = server.stopped("TERM").start();
    quiet(&sink);
    assert_eq!(call(&server, "/Timer.query", Value::Null), json!([0, []]));
}
