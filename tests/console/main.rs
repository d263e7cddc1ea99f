//! What looks at the daemon: `/metrics` and `/healthz`, the calls and live updates of the console, and the console
//! itself in a real browser.
//!
//! [`watch`] what monitoring asks; [`calls`] the calls and who may make them; [`live`] the app `_console`; [`browser`]
//! the page, by [`webdriver`]; [`secure`] the page over https and wss.

#[path = "../common/mod.rs"]
mod common;
#[path = "../compat/sink.rs"]
mod sink;

mod browser;
mod calls;
mod live;
#[cfg(feature = "tls")]
mod secure;
mod watch;
mod webdriver;

use serde_json::Value;

use common::http::get;
use common::server::Server;

/// What a call that must succeed answers.
#[track_caller]
fn data(server: &Server, target: &str) -> Value {
    let answer = get(server, target);
    let mut answer: Value =
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(answer[0], 0, "{target}: {answer}");
    answer[1].take()
}
