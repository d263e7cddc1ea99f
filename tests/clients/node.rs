//! `jdpush.js`: it receives, comes back after a restart, polls where WebSockets do not work, and stops when told.

use std::process::Command;

use serde_json::{Value, json};

use crate::common::http::{get, push, wait_users};
use crate::common::process::Process;
use crate::common::program::program;
use crate::common::server::Server;
use crate::common::wait_for;
use crate::file;

/// The client in Node; `sockets` is for `driver.js`. `None`: no Node, or none with WebSocket.
#[track_caller]
fn client(server: &Server, options: Value, sockets: &[&str]) -> Option<Process> {
    let node = program("node")?;
    let version = Command::new(&node)
        .arg("--version")
        .output()
        .expect("it runs")
        .stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|text| text.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        let text = format!("skipped: Node 20 or later has WebSocket, this is {version}");
        assert!(std::env::var_os("CI").is_none(), "{text}");
        eprintln!("{text}");
        return None;
    }
    let mut options = options;
    options["url"] = format!("http://127.0.0.1:{}", server.port()).into();
    let mut command = Command::new(node);
    // Built in from version 22 on.
    command.env("NODE_OPTIONS", "--experimental-websocket --no-warnings");
    command
        .arg(file("tests/clients/driver.js"))
        .arg(file("static/jdpush.js"))
        .arg("js")
        .arg(options.to_string())
        .args(sockets);
    Some(Process::start(&mut command))
}

/// How often a line came.
fn count(process: &Process, line: &str) -> usize {
    process.lines().iter().filter(|seen| *seen == line).count()
}

#[test]
fn it_receives_sends_and_stops() {
    let server = Server::start();
    let Some(mut client) = client(&server, json!({"user": "u1"}), &[]) else {
        return;
    };
    client.line(|line| line == "state open");
    wait_users(&server, "js", r#"["u1"]"#);
    assert_eq!(push(&server, "js", "*", "plain"), 1);
    assert_eq!(push(&server, "js", "*", r#"{"id":1}"#), 1);
    client.line(|line| line == r#"msg {"id":1}"#);
    // What is no object goes to the console.
    client.line(|line| line == "plain");
    client.say(r#"send {"ac":"push","app":"js","user":"u1","msg":[1,"<b>"]}"#);
    client.line(|line| line == "sent true");
    client.line(|line| line == r#"msg [1,"<b>"]"#);
    client.say("stop");
    client.line(|line| line == "state closed");
    wait_users(&server, "js", "[]");
    client.say(r#"send {"ac":"alive"}"#);
    client.line(|line| line == "sent false");
}

#[test]
fn it_comes_back_after_a_restart_but_not_when_told_to_go() {
    let server = Server::configured("token = \"s3cret\"\n");
    let options = json!({"user": 7, "token": "s3cret", "dataType": "text", "retryInterval": 0.2});
    let Some(client) = client(&server, options, &[]) else {
        return;
    };
    client.line(|line| line == "state open");
    let port = server.port();
    let server = server.stopped("TERM").port(port).start();
    client.line(|line| line == "state waiting");
    wait_for("the client to be back", || {
        get(&server, "/getUsers?app=js&_token=s3cret")
            .contains("[7]")
            .then_some(())
    });
    get(&server, "/push?app=js&user=7&msg=again&_token=s3cret");
    client.line(|line| line == "msg again");
    wait_for("the state", || {
        (count(&client, "state open") == 2).then_some(())
    });
    let server = server.stopped("KILL").port(port).start();
    wait_for("the client to be back from a crash", || {
        get(&server, "/getUsers?app=js&_token=s3cret")
            .contains("[7]")
            .then_some(())
    });
    assert_eq!(
        count(&client, "state polling"),
        0,
        "a short absence is no reason to poll"
    );
}

#[test]
fn a_code_says_whether_it_comes_back() {
    let server = Server::start();
    for code in ["1000", "1005"] {
        let Some(client) = client(&server, json!({"user": "u", "poll": false}), &[code]) else {
            return;
        };
        client.line(|line| line == "state closed");
        assert_eq!(
            client.lines(),
            ["state connecting", "state closed"],
            "{code}"
        );
    }
    // The server's own way to say that it could not read a message.
    let Some(mut client) = client(&server, json!({"user": "u", "retryInterval": 0.1}), &[]) else {
        return;
    };
    client.line(|line| line == "state open");
    client.say("send no json");
    client.line(|line| line.starts_with("*** require json data"));
    wait_for("the client to be back", || {
        (count(&client, "state open") == 2).then_some(())
    });
    wait_users(&server, "js", r#"["u"]"#);
}

#[test]
fn a_line_that_is_dead_is_left() {
    let server = Server::start();
    let options = json!({"user": "u", "keepAliveInterval": 0.3, "retryInterval": 0.1});
    let Some(client) = client(&server, options, &[]) else {
        return;
    };
    client.line(|line| line == "state open");
    // Its connection stays, but nobody answers.
    server.signal("STOP");
    client.line(|line| line == "state waiting");
    server.signal("CONT");
    wait_for("the client to be back", || {
        (count(&client, "state open") == 2).then_some(())
    });
    wait_users(&server, "js", r#"["u"]"#);
}

#[test]
fn it_polls_where_there_is_no_websocket() {
    let server = Server::start();
    let Some(mut client) = client(
        &server,
        json!({"user": "p&1", "retryInterval": 0.2}),
        &["none"],
    ) else {
        return;
    };
    client.line(|line| line == "state polling");
    for n in 0..3 {
        wait_users(&server, "js", r#"["p&1"]"#);
        assert_eq!(push(&server, "js", "p*", &format!("{{\"n\":{n}}}")), 1);
        client.line(|line| line == format!("msg {{\"n\":{n}}}"));
    }
    wait_users(&server, "js", r#"["p&1"]"#);
    client.say(r#"send {"ac":"push","app":"js","user":"*","msg":{"own":true}}"#);
    client.line(|line| line == r#"msg {"own":true}"#);
    client.say(r#"send {"ac":"other"}"#);
    client.line(|line| line == "sent false");
    // Nor does a restart end it.
    let port = server.port();
    let server = server.stopped("KILL").port(port).start();
    wait_users(&server, "js", r#"["p&1"]"#);
    client.say("stop");
    client.line(|line| line == "state closed");
    wait_users(&server, "js", "[]");
}

#[test]
fn it_polls_where_websockets_fail_again_and_again() {
    let server = Server::configured("token = \"s3cret\"\n");
    let options = json!({"user": "b", "token": "s3cret", "retryInterval": 0.1});
    let Some(client) = client(&server, options, &["1006"]) else {
        return;
    };
    client.line(|line| line == "state polling");
    // The short poll reached the server, and one more WebSocket failed.
    wait_for("the long poll", || {
        (count(&client, "state polling") == 2).then_some(())
    });
    assert_eq!(
        (
            count(&client, "state connecting"),
            count(&client, "state waiting")
        ),
        (3, 3)
    );
    wait_for("the poller", || {
        let answer = get(&server, "/push?app=js&user=b&msg=%7B%7D&_token=s3cret");
        (answer == "[0,1]\n").then_some(())
    });
    client.line(|line| line == "msg {}");
}
