//! The app `_console` over a real WebSocket. What is told and when is tested with virtual time in `state::console`.

use std::time::Instant;

use serde_json::Value;

use crate::common::WAIT;
use crate::common::http::get;
use crate::common::server::Server;
use crate::common::websocket::Ws;

/// The next event that `wanted` accepts.
#[track_caller]
fn event(ws: &mut Ws, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + WAIT;
    while Instant::now() < deadline {
        let text = ws.text();
        let event: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        if wanted(&event) {
            return event;
        }
    }
    panic!("no such event");
}

#[test]
fn a_console_is_told_what_happens() {
    let server = Server::start();
    let mut console = Ws::user(&server, "_console", "x");
    event(&mut console, |event| {
        event["ev"] == "stat" && event["stat"]["connection_num"] == 1
    });
    let _user = Ws::user(&server, "shop", "u1");
    event(&mut console, |event| {
        event["ev"] == "moves" && event["moves"][0][2] == "u1"
    });
    event(&mut console, |event| {
        let has_it = |lines: &Vec<Value>| {
            let mut texts = lines.iter().filter_map(|line| line[2].as_str());
            texts.any(|text| text.contains("[app shop] add user: u1 #"))
        };
        event["ev"] == "log" && event["lines"].as_array().is_some_and(has_it)
    });
    get(&server, "/nosuch");
    event(&mut console, |event| {
        event["ev"] == "log" && event["lines"][0][1] == "trace"
    });
    // Told again within two seconds.
    event(&mut console, |event| {
        event["ev"] == "stat" && event["stat"]["connection_num"] == 2
    });
}
