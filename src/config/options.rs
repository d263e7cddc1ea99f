//! The option table: what may stand on the command line and which setting it sets.

use getopts::{Fail, HasArg, Matches, Occur, Options};

use crate::config::FILE_NAME;
use crate::limits::SETTING_SHOWN_BYTES_MAX;
use crate::proto::logtext::log_text;
use crate::settings::{Origin, SettingError, Settings, TABLE, When};

/// One option.
#[derive(Debug)]
pub(super) struct CommandOption {
    /// One letter, or empty.
    pub short: &'static str,
    pub long: &'static str,
    /// What its value is called; empty for a switch.
    pub hint: &'static str,
    /// The setting that it sets; empty for none.
    setting: &'static str,
    pub doc: &'static str,
}

const fn row(
    short: &'static str,
    long: &'static str,
    hint: &'static str,
    setting: &'static str,
    doc: &'static str,
) -> CommandOption {
    CommandOption {
        short,
        long,
        hint,
        setting,
        doc,
    }
}

pub(super) static OPTIONS: [CommandOption; 17] = [
    row(
        "p",
        "port",
        "PORT",
        "port",
        "listen on 127.0.0.1:PORT (8081)",
    ),
    row("a", "all", "", "all", "listen on all interfaces"),
    row(
        "",
        "listen",
        "ADDR",
        "listen",
        "listen on ADDRESS:PORT, [IPV6]:PORT or unix:/path instead; may be repeated",
    ),
    row(
        "",
        "unix",
        "PATH",
        "unix",
        "listen on a Unix socket besides",
    ),
    row(
        "c",
        "config",
        "FILE",
        "",
        "settings file (./jdserver.toml, else /etc/jdserver/jdserver.toml)",
    ),
    row(
        "d",
        "data",
        "DIR",
        "data_dir",
        "folder of logs and timers (the working directory)",
    ),
    row(
        "l",
        "log",
        "FILE",
        "log_file",
        "the server's own log (standard error)",
    ),
    row(
        "",
        "echo",
        "",
        "echo",
        "WebSockets to /echo get their messages back",
    ),
    row(
        "",
        "user",
        "USER",
        "user",
        "become USER or USER:GROUP once the listeners are open",
    ),
    row("t", "test", "", "", "check the settings and exit"),
    row(
        "",
        "init",
        "",
        "",
        "write a settings file (at -c, else in the data folder), an example plugin and folders; nothing is overwritten",
    ),
    row(
        "",
        "install-service",
        "",
        "",
        "write a unit for systemd, run as --user (jdserver), and its settings",
    ),
    row(
        "",
        "remove-service",
        "",
        "",
        "stop the service and remove that unit",
    ),
    row("h", "help", "", "", "show this and exit"),
    row("V", "version", "", "", "show the version and exit"),
    row(
        "",
        "man",
        "",
        "",
        "show the manual page as roff and exit: jdserver --man | man -l -",
    ),
    row(
        "",
        "completions",
        "SHELL",
        "",
        "show what bash, zsh or fish completes by, and exit",
    ),
];

impl CommandOption {
    fn is(&self, name: &str) -> bool {
        self.long == name || (!self.short.is_empty() && self.short == name)
    }

    /// Whether it may stand there several times.
    pub(super) fn repeats(&self) -> bool {
        self.setting == "listen"
    }

    /// As messages name it: the short form where there is one.
    fn flag(&self) -> String {
        if self.short.is_empty() {
            format!("--{}", self.long)
        } else {
            format!("-{}", self.short)
        }
    }
}

fn getopts_options() -> Options {
    let mut options = Options::new();
    for option in &OPTIONS {
        let has_arg = if option.hint.is_empty() {
            HasArg::No
        } else {
            HasArg::Yes
        };
        let occur = if option.repeats() {
            Occur::Multi
        } else {
            Occur::Optional
        };
        options.opt(
            option.short,
            option.long,
            option.doc,
            option.hint,
            has_arg,
            occur,
        );
    }
    options
}

/// Splits the arguments (without the program's name) by the table. Errors: one line without the
/// program's name.
pub(super) fn split(args: &[String]) -> Result<Matches, String> {
    let matches = getopts_options().parse(args).map_err(|fail| match fail {
        Fail::ArgumentMissing(name) => missing_value(&name),
        Fail::UnrecognizedOption(name) => {
            format!("{}: no such option; jdserver -h lists all", dashed(&name))
        }
        Fail::OptionDuplicated(name) => {
            format!("{}: given twice; expected once at most", dashed(&name))
        }
        Fail::OptionMissing(name) => format!("{}: expected it", dashed(&name)),
        Fail::UnexpectedArgument(name) => format!("{}: expected no value", dashed(&name)),
    })?;
    match matches.free.first() {
        None => Ok(matches),
        Some(free) => Err(format!(
            "{}: expected options only; jdserver -h lists all",
            shown(free)
        )),
    }
}

fn missing_value(name: &str) -> String {
    let option = OPTIONS.iter().find(|option| option.is(name));
    let setting =
        option.and_then(|option| TABLE.iter().find(|setting| setting.name == option.setting));
    let hint = option.map_or("a value", |option| option.hint);
    let example = match (setting, hint) {
        (Some(setting), _) => setting.example,
        (None, "SHELL") => "bash",
        (None, _) => FILE_NAME,
    };
    format!(
        "{0}: expected {hint} behind it, e.g. {0} {example}",
        dashed(name)
    )
}

/// An option as messages name it, from either of its forms without dashes.
fn dashed(name: &str) -> String {
    match OPTIONS.iter().find(|option| option.is(name)) {
        Some(option) => option.flag(),
        None if name.chars().count() == 1 => format!("-{}", shown(name)),
        None => format!("--{}", shown(name)),
    }
}

/// An argument as a message shows it.
pub(super) fn shown(text: &str) -> String {
    log_text(text, SETTING_SHOWN_BYTES_MAX).into_owned()
}

/// Sets what the options say. Errors: `-p 80a: expected a port, 1 to 65535, e.g. -p 8081`.
pub(super) fn apply(matches: &Matches, settings: &mut Settings) -> Result<(), String> {
    for option in OPTIONS.iter().filter(|option| !option.setting.is_empty()) {
        // An option without a short form is known to getopts by its long one only.
        let values = matches.opt_strs(option.long);
        let value = match option.hint {
            "" if matches.opt_present(option.long) => "true".to_owned(),
            "" => continue,
            _ if values.is_empty() => continue,
            _ => values.join(","),
        };
        let flag = option.flag();
        if value.is_empty() {
            return Err(missing_value(option.long));
        }
        settings
            .set(option.setting, &value, Origin::CommandLine)
            .map_err(|error| {
                let SettingError {
                    value,
                    expected,
                    example,
                    ..
                } = error;
                format!(
                    "{flag} {}: expected {expected}, e.g. {flag} {example}",
                    value.unwrap_or_default()
                )
            })?;
    }
    Ok(())
}

/// What `-h` shows: the options and all settings.
pub(super) fn help() -> String {
    let usage = getopts_options()
        .usage("jdserver: pushes messages to browsers.\n\nUsage: jdserver [OPTIONS]");
    let mut text = format!(
        "{usage}\nSettings, one per line of jdserver.toml. Those with * can be changed while it runs: /conf?conf_NAME=VALUE\n\n"
    );
    for setting in &TABLE {
        let mark = if setting.when == When::RunTime {
            '*'
        } else {
            ' '
        };
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!(" ({})", setting.default)
        };
        text.push_str(&format!(
            "  {mark} {}{default}\n        {}\n",
            setting.name, setting.doc
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(args: &[&str]) -> Vec<String> {
        args.iter().map(|&arg| arg.to_owned()).collect()
    }

    #[track_caller]
    fn check_error(args: &[&str], want: &str) {
        let outcome =
            split(&owned(args)).and_then(|matches| apply(&matches, &mut Settings::default()));
        assert_eq!(outcome, Err(want.to_owned()), "{args:?}");
    }

    #[test]
    fn errors_say_what_would_be_right() {
        check_error(
            &["-p", "80a"],
            "-p 80a: expected a port, 1 to 65535, e.g. -p 8081",
        );
        check_error(
            &["-p80a"],
            "-p 80a: expected a port, 1 to 65535, e.g. -p 8081",
        );
        check_error(
            &["--port=65536"],
            "-p 65536: expected a port, 1 to 65535, e.g. -p 8081",
        );
        check_error(
            &["-p", "-1"],
            "-p -1: expected a port, 1 to 65535, e.g. -p 8081",
        );
        check_error(&["-p"], "-p: expected PORT behind it, e.g. -p 8081");
        check_error(&["-p", ""], "-p: expected PORT behind it, e.g. -p 8081");
        check_error(
            &["-c"],
            "-c: expected FILE behind it, e.g. -c jdserver.toml",
        );
        check_error(
            &["--completions"],
            "--completions: expected SHELL behind it, e.g. --completions bash",
        );
        check_error(
            &["--listen", "::1"],
            "--listen ::1: expected an address and port, e.g. --listen [::1]:8081",
        );
        check_error(&["-x"], "-x: no such option; jdserver -h lists all");
        check_error(
            &["--prot", "1"],
            "--prot: no such option; jdserver -h lists all",
        );
        check_error(&["-a", "-a"], "-a: given twice; expected once at most");
        check_error(&["--all=1"], "-a: expected no value");
        check_error(
            &["start"],
            "start: expected options only; jdserver -h lists all",
        );
        check_error(
            &["-p", "\x1b[0m"],
            "-p \\x1b[0m: expected a port, 1 to 65535, e.g. -p 8081",
        );
    }

    #[test]
    fn short_and_long_forms_set_settings() {
        let mut settings = Settings::default();
        let args = [
            "-p", "0", "--all", "--listen", "[::1]:1", "--listen", "unix:/x", "--unix", "/u",
            "--data", "/d", "-l", "/l", "--echo",
        ];
        apply(&split(&owned(&args)).expect("right"), &mut settings).expect("right");
        assert_eq!(
            (
                settings.port,
                settings.all,
                settings.listen.len(),
                settings.echo
            ),
            (0, true, 2, true)
        );
        assert_eq!(
            (
                settings.unix.as_str(),
                settings.data_dir.as_str(),
                settings.log_file.as_str()
            ),
            ("/u", "/d", "/l")
        );
        assert_eq!(settings.origin("port"), Origin::CommandLine);
        assert_eq!(settings.origin("workers"), Origin::Default);
    }

    #[test]
    fn the_help_names_every_option_and_setting() {
        let help = help();
        for option in &OPTIONS {
            assert!(
                help.contains(&format!("--{}", option.long)),
                "{}",
                option.long
            );
        }
        for setting in &TABLE {
            assert!(
                help.contains(setting.name) && help.contains(setting.doc),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn every_option_that_sets_names_a_setting() {
        for option in &OPTIONS {
            assert!(
                option.setting.is_empty()
                    || TABLE.iter().any(|setting| setting.name == option.setting),
                "{}",
                option.long
            );
        }
    }
}
