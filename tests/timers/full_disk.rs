//! A disk without room, a real one: a small tmpfs mounted as the data folder, by root or with `sudo -n`. Where neither
//! can mount, the test says so and passes, but never in CI.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::server::{Server, Setup};
use crate::{call, data, set};

/// A tmpfs, unmounted with its owner: whatever still runs in it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounted over that folder; `None` after saying `skipped: …`.
    fn mounted(folder: &Path) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", "size=128k,mode=0777", "jdserver-test"];
        for command in [&["mount"][..], &["sudo", "-n", "mount"]] {
            let output = Command::new(command[0])
                .args(&command[1..])
                .args(options)
                .arg(folder)
                .output();
            if output.is_ok_and(|output| output.status.success()) {
                return Some(SmallDisk(folder.to_owned()));
            }
        }
        let text = "skipped: a tmpfs cannot be mounted here; run as root";
        assert!(std::env::var_os("CI").is_none(), "{text}");
        eprintln!("{text}");
        None
    }

    /// Takes all the room there is, to the last page.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).expect("a name costs nothing");
        while filler.write_all(&[0; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for command in [&["umount", "-l"][..], &["sudo", "-n", "umount", "-l"]] {
            let output = Command::new(command[0])
                .args(&command[1..])
                .arg(&self.0)
                .output();
            if output.is_ok_and(|output| output.status.success()) {
                return;
            }
        }
    }
}

/// A timer that needs more room than the last page of a journal may have left.
fn large(code: &str) -> Value {
    json!({"url": "http://h/", "cron": "1 1 1 1 *", "code": code, "note": "x".repeat(9_000)})
}

/// The codes of all timers there are.
fn codes(server: &Server) -> Vec<String> {
    let rows = data(server, "/Timer.query", Value::Null);
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row["code"].as_str().unwrap_or("none").to_owned())
        .collect()
}

#[track_caller]
fn refused(server: &Server, target: &str, body: Value) {
    let answer = call(server, target, body);
    assert_eq!(answer[0], 4, "{target}: {answer}");
}

#[test]
fn a_full_disk_fails_the_call_and_memory_agrees_with_the_file() {
    let setup: Setup = Server::setup();
    let Some(disk) = SmallDisk::mounted(setup.folder()) else {
        return;
    };
    let mut server = setup.start();
    set(&server, large("a-b-first"));
    disk.fill();
    for round in 0..2 {
        refused(&server, "/setTimeout", large("a-b-new"));
        refused(&server, "/setTimeout", large("a-b-first"));
        refused(&server, "/Timer.set?code=a-b-first", large("a-b-other"));
        let mut once = large("a-b-once");
        once["cron"] = Value::Null;
        once["wait"] = json!(60_000);
        set(&server, once.clone());
        once["persist"] = json!(1);
        refused(&server, "/setTimeout", once);
        assert_eq!(codes(&server), ["a-b-first"]);
        // It starts on a full disk as well, and finds what was acknowledged, no more.
        let signal = ["KILL", "TERM"][round];
        server = server.stopped(signal).start();
        assert_eq!(codes(&server), ["a-b-first"], "after {signal}");
    }
    disk.make_room();
    set(&server, large("a-b-second"));
    let server = server.stopped("KILL").start();
    assert_eq!(codes(&server), ["a-b-first", "a-b-second"]);
}

#[test]
fn timers_that_fill_a_disk_are_there_as_far_as_they_were_acknowledged() {
    let setup = Server::setup();
    let Some(_disk) = SmallDisk::mounted(setup.folder()) else {
        return;
    };
    let mut server = setup.start();
    let mut kept = Vec::new();
    for n in 0..32 {
        let code = format!("a-b-{n}");
        let answer = call(&server, "/setTimeout", large(&code));
        match answer[0].as_i64() {
            Some(0) => kept.push(code),
            code => assert_eq!(code, Some(4), "{answer}"),
        }
        if n % 8 == 7 {
            assert_eq!(codes(&server), kept);
            server = server.stopped(["KILL", "TERM"][n / 8 % 2]).start();
            assert_eq!(codes(&server), kept, "after a restart");
        }
    }
    assert!((2..32).contains(&kept.len()), "{kept:?}");
}
