//! The jdserver binary: hands its arguments to the library.

use std::io::Write;
use std::process::ExitCode;

use jdserver::config::{self, Command};
use jdserver::daemon;

fn main() -> ExitCode {
    match config::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(startup)) => match daemon::run(*startup) {
            Ok(code) => code,
            Err(error) => fail(&format!("jdserver: {error}")),
        },
        Ok(Command::Check(text) | Command::Help(text)) => say(&text),
        Ok(Command::Version) => say(concat!("jdserver ", env!("CARGO_PKG_VERSION"))),
        Err(error) => fail(&error),
    }
}

/// A closed standard output is no failure of ours.
fn say(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
