//! What the integration tests share: the real binary in a folder of its own, and raw clients.
//! Never a guess about time: tests wait on conditions, and [`WAIT`] only bounds a failure.
//!
//! [`server`] starts and ends the daemon, [`http`] speaks HTTP/1.1 byte by byte, [`websocket`]
//! builds frames by hand so that it can also build wrong ones, [`program`] finds what
//! else a test needs and [`process`] talks to it.

// Each test binary compiles this module and uses a part of it.
#![allow(dead_code)]

pub mod http;
pub mod process;
pub mod program;
pub mod server;
pub mod websocket;

use std::thread;
use std::time::{Duration, Instant};

/// When a test gives up. Nothing succeeds by reaching it.
pub const WAIT: Duration = Duration::from_secs(20);

/// Asks `probe` again and again until it gives something; fails after [`WAIT`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {WAIT:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}
