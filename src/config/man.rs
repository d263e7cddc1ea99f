//! The manual page, jdserver(1), as roff: the words here, the rest out of the tables of options and settings. Never
//! writes it anywhere.

use crate::config::FILE_NAME;
use crate::config::options::{CommandOption, OPTIONS};
use crate::settings::{TABLE, When};

/// When the words of this file last changed; a page needs a date, and a build must not have one.
const DATE: &str = "2026-11-26";

const DESCRIPTION: [&str; 2] = [
    "jdserver pushes messages from web applications to browsers, by WebSocket and long poll, and calls URLs back later: once, every so often, or by crontab line. Applications call it over HTTP; plugins in Lua add calls of their own.",
    "Without options it serves on 127.0.0.1:8081 and keeps its files in the working directory. The page at `/` shows what it does; the whole manual is at `/manual/`.",
];

const FILES: [(&str, &str); 8] = [
    (
        "./jdserver.toml, /etc/jdserver/jdserver.toml",
        "Settings: the first one that is there, unless `-c` names another. Relative paths in it are beside it.",
    ),
    (
        "timer.json, timer.json.journal",
        "In the data folder: the timers, and what changed since the former was written.",
    ),
    (
        "trace.log, slow.log, debug.log",
        "In the data folder: calls that failed and runs of timers; what took long; calls as a plugin's author wants them.",
    ),
    (
        "api.lua, api.user.lua, jdserver.d/*.lua",
        "In the data folder: plugins.",
    ),
    (
        "jdserver.db, session/",
        "In the data folder: the database of plugins, unless P_DB names another, and a file per session.",
    ),
    (
        "static/",
        "Beside the settings file: files that are served, before the pages in the binary.",
    ),
    (
        "/etc/ssl/certs/ca-certificates.crt",
        "Whom calls of https URLs trust, or what the system has in its place.",
    ),
    (
        "/etc/localtime, /usr/share/zoneinfo/",
        "The local time of logs and crontab lines, and the zones that a timer may name.",
    ),
];

const ENVIRONMENT: [(&str, &str); 5] = [
    (
        "P_DB, P_DBCRED",
        "The database of plugins and who may use it, where the settings do not say.",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "Certificates to trust in place of the system's.",
    ),
    ("TZ", "The local time zone."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "Of the service manager: it is told when the daemon is ready, reloads, stops, and that it lives.",
    ),
    (
        "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
        "Of the service manager: sockets to serve on, in place of those of the settings; one named `tls` takes TLS alone.",
    ),
];

const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGTERM, SIGINT",
        "An ordered stop: no new connections, WebSockets closed with 1001 over some seconds, answers sent, timers and logs written.",
    ),
    (
        "SIGHUP",
        "Settings, plugins and certificates are read again and logs opened anew; no connection is lost. A file with an error changes nothing.",
    ),
];

const EXIT_STATUS: [(&str, &str); 2] = [
    ("0", "Stopped in order; with `-t`, the settings are right."),
    (
        "1",
        "Something was wrong; one line on standard error says what, and what would be right.",
    ),
];

const EXAMPLES: [&str; 4] = [
    "jdserver -t -c /etc/jdserver/jdserver.toml",
    "jdserver -p 9000 -d /var/lib/jdserver",
    "curl 'localhost:8081/push?app=app1&user=*' -d msg=hello",
    "curl localhost:8081/setTimeout -d url=http://localhost/a.php -d wait=3000",
];

const SEE_ALSO: [(&str, &str); 5] = [
    ("curl", "1"),
    ("crontab", "5"),
    ("systemd.service", "5"),
    ("systemd.socket", "5"),
    ("logrotate", "8"),
];

/// The page.
pub(super) fn page() -> String {
    let mut page = format!(
        // Names must not be cut at the end of a line.
        ".TH JDSERVER 1 {DATE} \"jdserver {}\" \"User Commands\"\n.nh\n.ad l\n",
        env!("CARGO_PKG_VERSION")
    );
    section(&mut page, "NAME");
    line(
        &mut page,
        "jdserver \\- push messages to browsers, call URLs back later",
    );
    section(&mut page, "SYNOPSIS");
    line(&mut page, &synopsis());
    section(&mut page, "DESCRIPTION");
    for (at, text) in DESCRIPTION.iter().enumerate() {
        if at > 0 {
            page.push_str(".PP\n");
        }
        line(&mut page, &marked(text));
    }
    section(&mut page, "OPTIONS");
    line(
        &mut page,
        &marked("The command line goes before the settings file, also when that is read again."),
    );
    for option in &OPTIONS {
        entry(&mut page, &option_tag(option), &capitalized(option.doc));
    }
    section(&mut page, "SETTINGS");
    line(
        &mut page,
        &marked(&format!(
            "Each is a line `name = value` of {FILE_NAME}, in TOML; in parentheses its default. In brackets: what a value must look like, and when a change takes effect: at a restart, at a reload (SIGHUP), or at once, then by the call `/conf?conf_NAME=VALUE` too."
        )),
    );
    for setting in &TABLE {
        let mut tag = bold(setting.name);
        if !setting.default.is_empty() {
            tag.push_str(&escaped(&format!(" ({})", setting.default)));
        }
        let when = match setting.when {
            When::Start => "restart",
            When::Reload => "reload",
            When::RunTime => "at once",
        };
        entry(
            &mut page,
            &tag,
            &format!("{} [{}; {when}]", setting.doc, setting.rule),
        );
    }
    for (name, entries) in [
        ("FILES", &FILES[..]),
        ("ENVIRONMENT", &ENVIRONMENT[..]),
        ("SIGNALS", &SIGNALS[..]),
        ("EXIT STATUS", &EXIT_STATUS[..]),
    ] {
        section(&mut page, name);
        for (tag, text) in entries {
            entry(&mut page, &bold(tag), text);
        }
    }
    section(&mut page, "EXAMPLES");
    page.push_str(".nf\n");
    for command in EXAMPLES {
        line(&mut page, &escaped(command));
    }
    page.push_str(".fi\n");
    section(&mut page, "SEE ALSO");
    let others: Vec<_> = SEE_ALSO
        .iter()
        .map(|(name, section)| format!(".BR {} ({section})", escaped(name)))
        .collect();
    page.push_str(&others.join(" ,\n"));
    page.push('\n');
    page
}

fn section(page: &mut String, name: &str) {
    page.push_str(&format!(".SH {name}\n"));
}

/// A line of text that is roff already.
fn line(page: &mut String, roff: &str) {
    // In the first column these begin a request.
    if roff.starts_with(['.', '\'']) {
        page.push_str("\\&");
    }
    page.push_str(roff);
    page.push('\n');
}

/// A tag, roff already, and its text below.
fn entry(page: &mut String, tag: &str, text: &str) {
    page.push_str(".TP\n");
    line(page, tag);
    line(page, &marked(text));
}

fn synopsis() -> String {
    let mut text = bold("jdserver");
    for option in &OPTIONS {
        let name = match option.short {
            "" => format!("--{}", option.long),
            short => format!("-{short}"),
        };
        let value = match option.hint {
            "" => String::new(),
            hint => format!(" {}", italic(hint)),
        };
        let dots = if option.repeats() { "..." } else { "" };
        text.push_str(&format!(" [{}{value}]{dots}", bold(&name)));
    }
    text
}

fn option_tag(option: &CommandOption) -> String {
    let (long, value) = (bold(&format!("--{}", option.long)), italic(option.hint));
    match (option.short, option.hint) {
        ("", "") => long,
        ("", _) => format!("{long}={value}"),
        (short, "") => format!("{}, {long}", bold(&format!("-{short}"))),
        (short, _) => format!("{} {value}, {long}={value}", bold(&format!("-{short}"))),
    }
}

/// A sentence out of the options' help, which has none.
fn capitalized(doc: &str) -> String {
    let mut chars = doc.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escaped(text))
}

/// Text in which what stands between backquotes is bold.
fn marked(text: &str) -> String {
    let parts: Vec<_> = text.split('`').collect();
    if parts.len() % 2 == 0 {
        return escaped(text);
    }
    let parts = parts.iter().enumerate().map(|(at, part)| match at % 2 {
        0 => escaped(part),
        _ => bold(part),
    });
    parts.collect()
}

/// Text that roff shows letter by letter, wherever it stands in a line but at its start.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\e"),
            '-' => out.push_str(r"\-"),
            '\'' => out.push_str(r"\(aq"),
            '"' => out.push_str(r"\(dq"),
            '`' => out.push_str(r"\(ga"),
            '^' => out.push_str(r"\(ha"),
            '~' => out.push_str(r"\(ti"),
            c if c.is_control() => out.push(' '),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let mut page = String::new();
        line(&mut page, &marked(text));
        assert_eq!(page, format!("{want}\n"), "{text}");
    }

    #[test]
    fn every_letter_is_shown_as_it_is() {
        check("a-b", r"a\-b");
        check(".TH x", r"\&.TH x");
        check("'br", r"\(aqbr");
        check(r"C:\n", r"C:\en");
        check("say \"hi\" ~^", r"say \(dqhi\(dq \(ti\(ha");
        check("a\nb\tc", "a b c");
        check("1\u{2013}2 \u{1f600}", r"1\[u2013]2 \[u1F600]");
    }

    #[test]
    fn names_in_backquotes_are_bold() {
        check("see `-c` and `x`.", r"see \fB\-c\fR and \fBx\fR.");
        check("`.hidden`", r"\fB.hidden\fR");
        check("a lone ` stays", r"a lone \(ga stays");
    }

    #[test]
    fn options_are_told_in_all_their_forms() {
        let page = page();
        for tag in [
            r"\fB\-p\fR \fIPORT\fR, \fB\-\-port\fR=\fIPORT\fR",
            r"\fB\-a\fR, \fB\-\-all\fR",
            r"\fB\-\-unix\fR=\fIPATH\fR",
            r"\fB\-\-echo\fR",
        ] {
            let entry = format!(".TP\n{tag}\n");
            assert!(page.contains(&entry), "{tag} in {page}");
        }
        assert!(
            page.contains(r" [\fB\-\-listen\fR \fIADDR\fR]... "),
            "{page}"
        );
    }

    #[test]
    fn every_option_and_setting_has_its_entry_and_nothing_else_begins_a_request() {
        let page = page();
        for setting in &TABLE {
            let tag = format!(".TP\n{}", bold(setting.name));
            assert!(page.contains(&tag), "{tag}");
        }
        let entries = page.lines().filter(|line| *line == ".TP").count();
        let own = FILES.len() + ENVIRONMENT.len() + SIGNALS.len() + EXIT_STATUS.len();
        assert_eq!(entries, OPTIONS.len() + TABLE.len() + own);
        let known = [
            ".TH ", ".SH ", ".TP", ".PP", ".BR ", ".nf", ".fi", ".nh", ".ad",
        ];
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(known.iter().any(|known| line.starts_with(known)), "{line}");
        }
    }
}
