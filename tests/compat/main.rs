//! Plays the scenarios of `tests/cases/` against the real binary: what the original answered, or
//! `ours` where that is meant to differ. Never a rule of its own: the files are the law.
//!
//! [`runner`] takes the steps, [`expect`] compares, [`sink`] receives the callbacks of timers.

#[path = "../common/mod.rs"]
mod common;
mod expect;
mod runner;
mod sink;

#[test]
fn call() {
    check("call");
}

#[test]
fn push() {
    check("push");
}

#[test]
fn ws() {
    check("ws");
}

#[test]
fn poll() {
    check("poll");
}

#[test]
fn service() {
    check("service");
}

#[test]
fn timer() {
    check("timer");
}

#[test]
fn cron() {
    check("cron");
}

/// Plays one file against one server, as the recording was made.
#[track_caller]
fn check(file: &str) {
    let cases = runner::load(file);
    let server = common::server::Server::start();
    let sink = sink::Sink::start();
    let mut failures = Vec::new();
    for case in &cases {
        failures.extend(runner::play(case, &server, &sink));
    }
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
