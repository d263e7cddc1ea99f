//! The daemon as a service: what it tells its manager, sockets it is handed, who it becomes, files it makes, and how it is
//! installed.

#[path = "../common/mod.rs"]
mod common;

mod init;
mod install;
mod manager;
mod sockets;
mod users;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A daemon that a test started itself, ended with it.
struct Started(Child);

impl Started {
    /// Starts `command` and waits until the daemon in it says that it serves; its lines so far.
    #[track_caller]
    fn wait(command: &mut Command) -> (Self, Vec<String>) {
        command.stdin(Stdio::null());
        let mut started = Started(command.stdout(Stdio::piped()).spawn().expect("it starts"));
        let stdout = started.0.stdout.take().expect("piped");
        let mut lines = Vec::new();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let is_last = line.starts_with("jdserver: serving on ");
            lines.push(line);
            if is_last {
                return (started, lines);
            }
        }
        panic!("it ended: {lines:?}");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.0.id().to_string())
            .status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a folder of ours is root's.
fn is_root(folder: &Path) -> bool {
    fs::metadata(folder).expect("there").uid() == 0
}

/// Says `skipped: …` where it is not; fails then when the environment variable `CI` is set.
#[track_caller]
fn may(what: &str, folder: &Path) -> bool {
    let may = is_root(folder);
    if !may {
        let text = format!("skipped: only root may {what}");
        assert!(std::env::var_os("CI").is_none(), "{text}");
        eprintln!("{text}");
    }
    may
}

/// The binary in a folder, on any free port.
fn jdserver(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jdserver"));
    command.args(["-p", "0"]).current_dir(folder);
    command
}
