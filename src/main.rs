//! The jdserver binary: hands its arguments to the library.

use std::io::Write;
use std::process::ExitCode;

use jdserver::config::{self, Command};
use jdserver::daemon;
use jdserver::install::host::Host;
use jdserver::install::{init, service};

fn main() -> ExitCode {
    let done = match config::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(startup)) => match daemon::run(*startup) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Ok(Command::Check(text) | Command::Help(text)) => Ok(text),
        Ok(Command::Version) => Ok(concat!("jdserver ", env!("CARGO_PKG_VERSION")).to_owned()),
        Ok(Command::Init(layout)) => init(&layout),
        Ok(Command::InstallService(wanted)) => service::install(&Host::here(), &wanted),
        Ok(Command::RemoveService) => service::remove(&Host::here()),
        Err(error) => return fail(&error),
    };
    match done {
        Ok(text) => say(&text),
        Err(error) => fail(&format!("jdserver: {error}")),
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
