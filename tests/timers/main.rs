//! Timers, end to end: the real binary, a real HTTP server that is called back, restarts. What a
//! field means in detail is tested with virtual time in `state::timers`.
//!
//! [`calls`] one-shots, intervals, crontab lines and the calls that change them; [`options`] what each timer may
//! ask for besides; [`restart`] what is found again; [`damage`] broken files, [`full_disk`] disks without room;
//! [`reloaded`] settings that change meanwhile; [`vectors`] crontab lines through `Timer.preview`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../compat/sink.rs"]
mod sink;

mod calls;
mod damage;
mod full_disk;
mod options;
mod reloaded;
mod restart;
mod vectors;

use std::time::Duration;

use serde_json::{Value, json};

use common::http::ask;
use common::server::Server;
use common::wait_for;
use sink::Sink;

/// Calls with a JSON body, or by GET where that is null; the whole answer.
#[track_caller]
fn call(server: &Server, target: &str, body: Value) -> Value {
    let answer = match body {
        Value::Null => ask(server, "GET", target, "", ""),
        body => ask(
            server,
            "POST",
            target,
            "Content-Type: application/json\r\n",
            &body.to_string(),
        ),
    };
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// The same, for what a call that must succeed answers.
#[track_caller]
fn data(server: &Server, target: &str, body: Value) -> Value {
    let answer = call(server, target, body);
    assert_eq!(answer[0], 0, "{target}: {answer}");
    answer[1].clone()
}

/// The id that `setTimeout` answers.
#[track_caller]
fn set(server: &Server, body: Value) -> i64 {
    let id = data(server, "/setTimeout", body);
    id.as_i64().unwrap_or_else(|| panic!("no id: {id}"))
}

/// Waits for so many callbacks and gives their paths, sorted.
#[track_caller]
fn paths(sink: &Sink, wanted: usize) -> Vec<String> {
    let hits = sink.take(wanted, common::WAIT);
    assert!(hits.len() >= wanted, "{wanted} callbacks, not {hits:?}");
    let mut paths: Vec<String> = hits
        .iter()
        .map(|hit| hit["path"].as_str().unwrap_or_default().to_owned())
        .collect();
    paths.sort();
    paths
}

/// Waits until `stat` says so.
#[track_caller]
fn stat_becomes(server: &Server, name: &str, wanted: u64) {
    wait_for(name, || {
        (data(server, "/stat", Value::Null)[name] == json!(wanted)).then_some(())
    });
}

/// Long enough for a callback that must not come, short enough for a test.
const QUIET: Duration = Duration::from_millis(300);

/// The callbacks that come within [`QUIET`], which should be none.
#[track_caller]
fn quiet(sink: &Sink) {
    let hits = sink.take(1, QUIET);
    assert!(hits.is_empty(), "{hits:?}");
}
