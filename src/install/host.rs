//! The machine that a service is installed on: its files, programs and accounts.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::account::{self, Account};

/// How a program is run, by its name and arguments. Errors: one line.
pub type Run = dyn Fn(&str, &[&str]) -> Result<(), String>;

/// How a user is looked up.
pub type Find = dyn Fn(&str) -> Result<Option<Account>, String>;

/// What of the machine is looked at and changed. In tests it is a folder, whose programs are told of and not run.
pub struct Host {
    /// The folder that all paths are below.
    pub root: PathBuf,
    /// Whether all may be changed.
    pub is_root: bool,
    /// The running binary as the machine knows it. Errors: one line.
    pub binary: Result<PathBuf, String>,
    /// Runs a program.
    pub run: Box<Run>,
    /// [`account::find`].
    pub account: Box<Find>,
}

impl Host {
    /// This one.
    pub fn here() -> Self {
        let binary = env::current_exe().and_then(fs::canonicalize);
        Host {
            root: PathBuf::from("/"),
            is_root: geteuid().is_root(),
            binary: binary
                .map_err(|error| format!("cannot tell which file this binary is: {error}")),
            run: Box::new(run),
            account: Box::new(account::find),
        }
    }

    /// A path of the machine.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether systemd runs now, as sd_booted(3) tells it.
    pub(super) fn has_systemd(&self) -> bool {
        self.path("/run/systemd/system").is_dir()
    }

    /// Runs `systemctl`, where systemd runs.
    pub(super) fn systemctl(&self, args: &[&str]) -> Result<(), String> {
        if self.has_systemd() {
            (self.run)("systemctl", args)
        } else {
            Ok(())
        }
    }

    /// A file's text; `None` where there is no such file. Errors: one line.
    pub(super) fn read(&self, path: &Path) -> Result<Option<String>, String> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            // A link that leads nowhere is there.
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let command = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error: io::Error| format!("{}: {error}", command()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', ", ");
    Err(format!("{}: {}: {said}", command(), output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_told_with_its_words() {
        assert_eq!(run("true", &[]), Ok(()));
        let error = run("sh", &["-c", "echo a >&2; echo b >&2; exit 3"]).expect_err("it fails");
        assert!(
            error.starts_with("sh -c ") && error.ends_with("exit status: 3: a, b"),
            "{error}"
        );
        assert!(
            run("/no/such/program", &["x"])
                .is_err_and(|text| text.starts_with("/no/such/program x: "))
        );
    }
}
