//! What a timer may ask for besides: retries, signatures, runs by hand, the log of its runs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::server::Server;
use crate::common::wait_for;
use crate::sink::Sink;
use crate::{data, paths, quiet, set, stat_becomes};

#[test]
fn run_and_log() {
    let (server, sink) = (Server::start(), Sink::start());
    let body = json!({"url": format!("{}/r", sink.url), "cron": "1 1 1 1 *", "code": "a-b-c"});
    set(&server, body);
    quiet(&sink);
    data(&server, "/Timer.run?code=a-b-c", Value::Null);
    assert_eq!(paths(&sink, 1), ["/r"]);
    let runs = wait_for("the run in the log", || {
        let runs = data(&server, "/Timer.log?code=a-b-c", Value::Null);
        (runs.as_array()?.len() == 1).then_some(runs)
    });
    assert!(runs.to_string().contains("200"), "{runs}");
}

#[test]
fn retries_then_the_failed_list_and_once_more() {
    let (server, sink) = (Server::start(), Sink::start());
    let id = set(
        &server,
        json!({"url": format!("{}/f?status=500", sink.url), "wait": 10, "persist": 1, "retry": 2,
            "retryWait": 20, "sign": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}),
    );
    let mut hits = Vec::new();
    while hits.len() < 3 {
        let more = sink.take(1, crate::common::WAIT);
        assert!(!more.is_empty(), "{hits:?}");
        hits.extend(more);
    }
    assert_eq!(hits.len(), 3, "{hits:?}");
    for hit in &hits {
        let headers = &hit["headers"];
        assert_eq!(headers["webhook-id"], hits[0]["headers"]["webhook-id"]);
        assert!(headers["webhook-timestamp"].is_string(), "{headers}");
        assert!(
            headers["webhook-signature"]
                .as_str()
                .is_some_and(|text| text.starts_with("v1,")),
            "{headers}"
        );
    }
    let failed = wait_for("the failed list", || {
        let failed = data(&server, "/Timer.failed", Value::Null);
        (failed.as_array()?.len() == 1).then_some(failed)
    });
    assert_eq!(failed[0]["id"], json!(id));
    assert_eq!(data(&server, "/Timer.query", Value::Null), json!([]));
    let server = server.stopped("KILL").start();
    assert_eq!(
        data(&server, "/Timer.failed", Value::Null)[0]["id"],
        json!(id)
    );
    data(&server, &format!("/Timer.retry?id={id}"), Value::Null);
    assert_eq!(paths(&sink, 1)[0], "/f?status=500");
}

#[test]
fn stat_counts() {
    let (server, sink) = (Server::start(), Sink::start());
    for _ in 0..3 {
        data(
            &server,
            "/setTimeout",
            json!({"url": format!("{}/s", sink.url)}),
        );
    }
    paths(&sink, 3);
    stat_becomes(&server, "timers_fired", 3);
    stat_becomes(&server, "timers_running", 0);
}

#[test]
fn a_dead_host_does_not_hold_others_up() {
    let (server, sink) = (Server::start(), Sink::start());
    // Takes connections (the kernel does) and never answers.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", dead.local_addr().expect("bound"));
    for _ in 0..200 {
        data(&server, "/setTimeout", json!({"url": url}));
    }
    data(
        &server,
        "/setTimeout",
        json!({"url": format!("{}/alive", sink.url)}),
    );
    let hits = sink.take(1, Duration::from_secs(2));
    assert_eq!(hits.len(), 1, "waits behind the dead host");
}
