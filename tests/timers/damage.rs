//! Broken files and disks that take nothing: the daemon starts, says so, and keeps memory and file in agreement.

use std::fs;

use serde_json::{Value, json};

use crate::common::server::Server;
use crate::{call, data, set};

#[test]
fn a_broken_file_is_set_aside_and_never_overwritten() {
    for broken in ["{\"nextId\":3,\"list\":[{", "", "[1]", "\0\0\0"] {
        let server = Server::setup().file("timer.json", broken).start();
        server.line(|line| line.contains("timer.json.bad-"));
        assert_eq!(data(&server, "/Timer.query", Value::Null), json!([]));
        let id = set(&server, json!({"url": "http://h/", "cron": "1 1 * * *"}));
        let folder = server.folder().to_owned();
        let server = server.stopped("TERM").start();
        assert_eq!(
            data(&server, "/Timer.query", Value::Null)[0]["id"],
            json!(id)
        );
        let kept: Vec<String> = fs::read_dir(&folder)
            .expect("folder")
            .flatten()
            .filter(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("timer.json.bad-")
            })
            .map(|entry| fs::read_to_string(entry.path()).expect("kept"))
            .collect();
        assert_eq!(kept, [broken]);
    }
}

#[test]
fn a_folder_that_takes_nothing_fails_the_call_and_changes_nothing() {
    let server = Server::start();
    let id = set(
        &server,
        json!({"url": "http://h/", "cron": "1 1 * * *", "code": "a-b-c"}),
    );
    let before = data(&server, "/Timer.query", Value::Null);
    // Permission bits do not bind root, so the folder itself goes.
    let folder = server.folder().to_owned();
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).expect("moved");
    fs::write(&folder, "in its place").expect("a file");
    for (target, body) in [
        (
            "/setTimeout",
            json!({"url": "http://h/", "cron": "2 2 * * *"}),
        ),
        (
            "/setTimeout",
            json!({"url": "http://h/2", "cron": "2 2 * * *", "code": "a-b-c"}),
        ),
        ("/Timer.set?code=a-b-c", json!({"x": 1})),
        ("/Timer.disable?code=a-b-c", json!({})),
        ("/Timer.del?code=a-b-c", json!({})),
        ("/Timer.clear", json!({})),
    ] {
        let answer = call(&server, target, body);
        assert_eq!(answer[0], 4, "{target}: {answer}");
        assert_eq!(
            data(&server, "/Timer.query", Value::Null),
            before,
            "{target}"
        );
    }
    fs::remove_file(&folder).expect("removed");
    fs::rename(&aside, &folder).expect("moved back");
    data(&server, "/Timer.set?code=a-b-c", json!({"x": 1}));
    let server = server.stopped("KILL").start();
    let rows = data(&server, "/Timer.query", Value::Null);
    assert_eq!(
        (&rows[0]["id"], &rows[0]["x"], rows.get(1)),
        (&json!(id), &json!(1), None)
    );
}
