//! Plays the scenarios of `tests/cases/` against the real binary: what the original answered, or
//! `ours` where that is meant to differ. Never a rule of its own: the files are the law.
//!
//! [`runner`] takes the steps, [`expect`] compares, [`sink`] receives the callbacks of timers.

#[path = "../common/mod.rs"]
mod common;
mod expect;
mod runner;
mod sink;

use std::io::Write;

/// Scenarios that are not played yet, and why.
const SKIPPED: &[(&str, &str)] = &[("call/restful-routes", "needs timers, issue 3")];

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
#[ignore = "needs timers, issue 3"]
fn timer() {
    check("timer");
}

#[test]
#[ignore = "needs timers, issue 3"]
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
        if let Some((name, reason)) = SKIPPED.iter().find(|(name, _)| *name == case.name) {
            // Straight to the descriptor: `eprintln!` is shown only when a test fails.
            let _ = writeln!(std::io::stderr(), "skipped {name}: {reason}");
            continue;
        }
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

#[test]
fn every_skipped_scenario_exists() {
    for (name, _) in SKIPPED {
        let file = name.split('/').next().unwrap_or_default();
        assert!(
            runner::load(file).iter().any(|case| case.name == *name),
            "{name} is gone"
        );
    }
}
