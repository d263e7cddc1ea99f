//! Every setting, in one table. Names, defaults, validation, messages, help and documentation
//! all come from here; a new setting is one new entry.

use std::collections::BTreeMap;

use crate::limits::BODY_BYTES_MAX;
use crate::settings::change::Origin;
use crate::settings::rule::Rule;
use crate::settings::value::{Field, FullQueue, Overlap, Secret};
use crate::settings::{BasePath, DatabaseAt, IpNet, Listen};

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the next start only: listeners and paths.
    Start,
    /// When the file is read again; never by `conf`.
    Reload,
    /// At once, by `conf` too.
    RunTime,
}

/// What is known about one setting.
#[derive(Debug)]
pub struct Setting {
    /// Key in the file; `conf_` before it at run time.
    pub name: &'static str,
    /// The default as text; empty for none.
    pub default: &'static str,
    /// What a value must look like.
    pub rule: Rule,
    /// A right value, for messages.
    pub example: &'static str,
    /// When a change takes effect.
    pub when: When,
    /// One line on what it is for, its unit included.
    pub doc: &'static str,
    pub(super) read: fn(&Settings) -> String,
    pub(super) write: fn(&mut Settings, &Rule, &str) -> bool,
}

/// Declares the fields of [`Settings`] and their rows in [`TABLE`] in one place.
macro_rules! settings {
    ($($field:ident: $type:ty, $name:literal = $default:literal, $rule:expr, $example:literal, $when:ident, $doc:literal;)+) => {
        /// The values of all settings. Made by [`Settings::default`], changed by name.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $(#[doc = $doc] pub $field: $type,)+
            pub(super) origins: [Origin; COUNT],
            pub(super) others: BTreeMap<String, String>,
        }

        const COUNT: usize = [$($name),+].len();

        /// All settings, in the order of the documentation.
        pub static TABLE: [Setting; COUNT] = [$(Setting {
            name: $name,
            default: $default,
            rule: $rule,
            example: $example,
            when: When::$when,
            doc: $doc,
            read: |settings| settings.$field.print(),
            write: |settings, rule, text| match Field::parse(rule, text) {
                Some(value) => {
                    settings.$field = value;
                    true
                }
                None => false,
            },
        }),+];

        impl Default for Settings {
            fn default() -> Self {
                let mut settings = Settings {
                    $($field: Default::default(),)+
                    origins: [Origin::Default; COUNT],
                    others: BTreeMap::new(),
                };
                for setting in &TABLE {
                    // A test holds every default to its own rule.
                    (setting.write)(&mut settings, &setting.rule, setting.default);
                }
                settings
            }
        }
    };
}

settings! {
    port: u16, "port" = "8081", Rule::Port, "8081", Start,
        "Port of the default listener; not used where `listen` names others.";
    all: bool, "all" = "false", Rule::Bool, "true", Start,
        "Listen on all interfaces (0.0.0.0) instead of 127.0.0.1.";
    listen: Vec<Listen>, "listen" = "", Rule::Listeners, "[::1]:8081", Start,
        "Addresses to listen on, instead of `port` and `all`: ADDRESS:PORT (IPv6 in brackets), tls:ADDRESS:PORT or unix:/path.";
    unix: String, "unix" = "", Rule::Path, "/run/jdserver.sock", Start,
        "A Unix socket to listen on besides, for its user and group (mode 0660).";
    user: String, "user" = "", Rule::User, "jdserver", Start,
        "User to become once the listeners are open, where started as root: NAME or NAME:GROUP; none by default.";
    pid_file: String, "pid_file" = "", Rule::Path, "/run/jdserver.pid", Start,
        "File that holds the process's number while it runs; none by default.";
    data_dir: String, "data_dir" = "", Rule::Path, "/var/lib/jdserver", Start,
        "Folder of trace.log; the working directory by default.";
    log_file: String, "log_file" = "", Rule::Path, "/var/log/jdserver.log", Start,
        "The server's own log; standard error by default.";
    static_dir: String, "static_dir" = "", Rule::Path, "/srv/jdserver/static", Start,
        "Folder of the files that are served; `static` beside the settings file by default, where it exists.";
    token: Secret, "token" = "", Rule::Secret, "a-long-random-text", Reload,
        "Calls and upgrades must carry it (Authorization: Bearer, or _token); none by default.";
    admin_token: Secret, "admin_token" = "", Rule::Secret, "another-long-random-text", Reload,
        "What administers must carry instead (conf, reload, getSettings, getApps, logTail, live updates of the console); the token by default.";
    tls_cert: String, "tls_cert" = "", Rule::Path, "/etc/jdserver/cert.pem", Reload,
        "The certificate for https and wss, PEM, with those between it and the root behind it; none by default.";
    tls_key: String, "tls_key" = "", Rule::Path, "/etc/jdserver/key.pem", Reload,
        "Its private key, PEM; in the certificate's file by default.";
    allow_origin: Vec<String>, "allow_origin" = "", Rule::Origins, "https://www.example.com", RunTime,
        "Origins that browsers may call from; any by default.";
    trusted_proxy: Vec<IpNet>, "trusted_proxy" = "", Rule::Networks, "10.0.0.0/8", RunTime,
        "Addresses and networks whose X-Forwarded-For counts; none by default.";
    base_path: BasePath, "base_path" = "", Rule::BasePath, "/jdserver", Reload,
        "Prefix that a proxy leaves on paths: what lies below it is served as without it; none by default.";
    max_connections: usize, "max_connections" = "0", Rule::Whole { min: 0, max: 10_000_000 }, "20000", RunTime,
        "Connections in all; 0: as many as open files allow. Beyond: 503.";
    max_connections_per_address: usize, "max_connections_per_address" = "0", Rule::Whole { min: 0, max: 10_000_000 }, "200", RunTime,
        "Connections from one address; 0: no limit but max_connections. Beyond: 503.";
    max_body: usize, "max_body" = "4194304", Rule::Bytes { min: 1 << 10, max: 1 << 30 }, "4M", RunTime,
        "A request's body or a WebSocket message, in bytes. Beyond: 413 or close 1009.";
    max_queue: usize, "max_queue" = "65536", Rule::Bytes { min: 0, max: 1 << 30 }, "64K", RunTime,
        "Bytes queued for one connection beyond one message. Beyond: see full_queue.";
    max_queue_total: usize, "max_queue_total" = "268435456", Rule::Bytes { min: 1 << 20, max: 1 << 40 }, "256M", RunTime,
        "Bytes queued for all connections together. Beyond: see full_queue.";
    full_queue: FullQueue, "full_queue" = "close", Rule::Words(&["close", "drop"]), "drop", RunTime,
        "What happens when a queue is full: the slow connection is closed, or the message is dropped for it.";
    max_rate: u32, "max_rate" = "0", Rule::Whole { min: 0, max: 1_000_000 }, "100", RunTime,
        "WebSocket messages per second from one connection; 0: no limit. Beyond: close 1008.";
    deflate: bool, "deflate" = "true", Rule::Bool, "false", RunTime,
        "Whether WebSocket messages may be compressed (permessage-deflate).";
    ping_interval_ms: u64, "ping_interval" = "25", Rule::Seconds { min_ms: 0, max_ms: DAY_MS }, "25", RunTime,
        "Seconds of silence after which a WebSocket is pinged; 0: never.";
    ping_timeout_ms: u64, "ping_timeout" = "8", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "8", RunTime,
        "Seconds after a ping without any byte until the connection counts as gone.";
    head_timeout_ms: u64, "head_timeout" = "10", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "10", RunTime,
        "Seconds for a whole request head, from its first byte or the connection's start. Beyond: 408.";
    body_timeout_ms: u64, "body_timeout" = "30", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "30", RunTime,
        "Seconds for a whole request body. Beyond: 408.";
    keepalive_timeout_ms: u64, "keepalive_timeout" = "75", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "75", RunTime,
        "Seconds that an HTTP connection may wait between requests.";
    write_timeout_ms: u64, "write_timeout" = "30", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "30", RunTime,
        "Seconds that a peer may take nothing of what is queued for it.";
    close_timeout_ms: u64, "close_timeout" = "5", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "5", RunTime,
        "Seconds that a peer has to answer a WebSocket close.";
    shutdown_timeout_ms: u64, "shutdown_timeout" = "10", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "10", RunTime,
        "Seconds for an ordered stop; what is not done then is cut.";
    workers: usize, "workers" = "32", Rule::Whole { min: 1, max: 1_024 }, "32", RunTime,
        "Threads at most for work that may block: files, calls of URLs. They are started on demand.";
    http_call_timeout_ms: u64, "httpCallTimeout" = "5", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "5", RunTime,
        "Seconds for a call of a URL.";
    timer_overlap: Overlap, "timer_overlap" = "allow", Rule::Words(&["allow", "skip", "queue"]), "skip", RunTime,
        "What a timer does that comes due while its last run is still under way, where it has no `overlap` of its own.";
    callback_insecure: bool, "callback_insecure" = "false", Rule::Bool, "true", RunTime,
        "Whether calls of https URLs take any certificate, self-signed ones too.";
    callback_allow: Vec<IpNet>, "callback_allow" = "", Rule::Networks, "203.0.113.0/24", Reload,
        "Addresses and networks that URLs may be called at; all by default.";
    callback_deny: Vec<IpNet>, "callback_deny" = "", Rule::Networks, "169.254.0.0/16", Reload,
        "Addresses and networks that no URL is called at, even where callback_allow names them.";
    plugin_timeout_ms: u64, "plugin_timeout" = "10", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "10", RunTime,
        "Seconds that a plugin's handler or call may take, waiting included. Beyond: it is ended.";
    plugin_events: usize, "plugin_queue" = "10000", Rule::Whole { min: 1, max: 20_000 }, "1000", RunTime,
        "Calls and events that plugins may have under way. Beyond: error 4, and what needs no answer is dropped and counted.";
    plugin_compute_ms: u64, "plugin_compute" = "0.2", Rule::Seconds { min_ms: 10, max_ms: 60_000 }, "0.2", Reload,
        "Seconds that a plugin's handler or call may compute. Beyond: it is ended.";
    database: DatabaseAt, "P_DB" = "", Rule::Database, "jdserver.db", Reload,
        "The database of plugins: a file of SQLite, below data_dir unless absolute, or HOST:PORT/NAME of a MySQL or MariaDB server, or null for none; by default what the environment variable of that name says, else jdserver.db.";
    database_credentials: Secret, "P_DBCRED" = "", Rule::Secret, "jdcloud:secret", Reload,
        "USER:PASSWORD at the database's server, or that in base64; by default what the environment variable of that name says.";
    database_timeout_ms: u64, "db_timeout" = "10", Rule::Seconds { min_ms: 10, max_ms: DAY_MS }, "10", RunTime,
        "Seconds for a statement of a plugin; waiting for its turn may take as long again.";
    api_log: u32, "enableApiLog" = "0", Rule::Whole { min: 0, max: 2 }, "1", RunTime,
        "Which calls are written into the table ApiLog of the database: 0 none, 1 all, 2 those that failed.";
    slow_api_ms: u64, "slowApiTime" = "1", Rule::Seconds { min_ms: 0, max_ms: DAY_MS }, "1", RunTime,
        "Seconds from which on a call is slow, which slow.log tells; 0: none is.";
    slow_http_ms: u64, "slowHttpCallTime" = "1", Rule::Seconds { min_ms: 0, max_ms: DAY_MS }, "1", RunTime,
        "The same for calls of URLs.";
    slow_sql_ms: u64, "slowSqlTime" = "1", Rule::Seconds { min_ms: 0, max_ms: DAY_MS }, "1", RunTime,
        "The same for statements of plugins.";
    test_mode: bool, "P_TEST_MODE" = "false", Rule::Bool, "true", Reload,
        "Test mode: answers of calls say so in a header, X-Daca-Test-Mode, and P_DEBUG counts. Not for production. Also from the environment.";
    debug_level: u32, "P_DEBUG" = "0", Rule::Whole { min: 0, max: 9 }, "9", Reload,
        "In test mode, from 1 on answers of calls have a last element that tells name and time; at 9 statements of plugins go to debug.log. Also from the environment.";
    debug_log: u32, "P_DEBUG_LOG" = "0", Rule::Whole { min: 0, max: 2 }, "1", RunTime,
        "Which calls are written to debug.log with their input and output: 0 none, 1 all, 2 those that failed. Also from the environment.";
    html_escape: bool, "htmlEscape" = "true", Rule::Bool, "false", RunTime,
        "Whether < and > in parameters of HTTP calls are escaped.";
    max_log_file_size: usize, "maxLogFileSize" = "104857600", Rule::Bytes { min: 0, max: 1 << 40 }, "10M", RunTime,
        "Bytes of a log file; before it grows beyond, it is moved to its name with .1, over the one there. 0: without end.";
    log_ws: bool, "jdserver_log_ws" = "false", Rule::Bool, "true", RunTime,
        "Whether every WebSocket message in and out is logged.";
    echo: bool, "echo" = "false", Rule::Bool, "true", RunTime,
        "Whether WebSockets to /echo get their messages back, for tests and measurements.";
}

const DAY_MS: u64 = 86_400_000;

// `max_body`'s default is written as text in its row.
const _: () = assert!(BODY_BYTES_MAX == 4_194_304);

/// The row of a setting, by its exact name.
pub(super) fn index_of(name: &str) -> Option<usize> {
    TABLE.iter().position(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_examples_obey_their_rules_and_survive_printing() {
        for setting in &TABLE {
            for text in [setting.default, setting.example] {
                let mut settings = Settings::default();
                assert!(
                    (setting.write)(&mut settings, &setting.rule, text),
                    "{} = {text:?}",
                    setting.name
                );
                let printed = (setting.read)(&settings);
                let mut again = Settings::default();
                assert!(
                    (setting.write)(&mut again, &setting.rule, &printed),
                    "{} = {printed:?}",
                    setting.name
                );
                assert_eq!(settings, again, "{}", setting.name);
            }
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = Settings::default();
        assert_eq!((settings.port, settings.all), (8081, false));
        assert_eq!(settings.max_body, BODY_BYTES_MAX);
        assert_eq!(
            (settings.max_queue, settings.max_queue_total),
            (65_536, 256 << 20)
        );
        assert_eq!(
            (settings.ping_interval_ms, settings.ping_timeout_ms),
            (25_000, 8_000)
        );
        assert_eq!(settings.http_call_timeout_ms, 5_000);
        assert!(settings.html_escape && settings.deflate && !settings.log_ws && !settings.echo);
        assert!(
            settings.token.is_empty()
                && settings.allow_origin.is_empty()
                && settings.trusted_proxy.is_empty()
        );
        assert_eq!(settings.full_queue, FullQueue::Close);
    }

    /// `<tr id="NAME"><td><code>NAME</code></td><td>DEFAULT</td><td>RANGE</td><td>WHEN</td><td>…</td></tr>`, without markup.
    fn manual_rows(page: &str) -> Vec<[String; 5]> {
        let rows = page.lines().filter(|line| line.starts_with("<tr id="));
        let cells = |row: &str| {
            let mut cells = row.split("<td>").skip(1).map(|cell| {
                let text = cell.replace("<code>", "").replace("</code>", "");
                text.split("</td>").next().unwrap_or_default().to_owned()
            });
            [(); 5].map(|()| cells.next().unwrap_or_default())
        };
        rows.map(cells).collect()
    }

    /// A rule as the manual shows it. `words`: bytes, seconds, a path, a list, a secret, none, a user.
    fn range(rule: &Rule, words: [&str; 7]) -> String {
        let [bytes, seconds, path, list, secret, _, user] = words;
        let text = rule.to_string();
        let ends = |text: &str| text.replace(" to ", "–");
        match rule {
            Rule::Bytes { .. } => ends(&text.replace("a number of bytes, ", "")) + " " + bytes,
            Rule::Seconds { .. } => ends(&text.replace("seconds, ", "")) + " " + seconds,
            Rule::Whole { .. } => ends(&text.replace("a whole number, ", "")),
            Rule::Port => ends(&text.replace("a port, ", "")),
            Rule::Bool | Rule::Words(_) => text.replace(" or ", ", "),
            Rule::Path | Rule::BasePath => path.to_owned(),
            Rule::Secret => secret.to_owned(),
            Rule::User => user.to_owned(),
            rule if rule.is_list() => list.to_owned(),
            _ => text,
        }
    }

    #[track_caller]
    fn check_manual(page: &str, words: [&str; 7], times: [&str; 3]) {
        let rows = manual_rows(page);
        let names: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
        let wanted: Vec<_> = TABLE.iter().map(|setting| setting.name).collect();
        assert_eq!(
            names, wanted,
            "rows of static/manual/*/settings.html, in the table's order"
        );
        for (setting, [name, default, shown, when, what]) in TABLE.iter().zip(&rows) {
            let mut settings = Settings::default();
            let default = if default == words[5] { "" } else { default };
            assert!(
                (setting.write)(&mut settings, &setting.rule, default)
                    && settings == Settings::default(),
                "{name}: its default is not {default}"
            );
            assert_eq!(
                shown.replace(',', ""),
                range(&setting.rule, words).replace(',', ""),
                "{name}"
            );
            assert_eq!(when, times[setting.when as usize], "{name}");
            assert!(!what.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_manual_tells_every_setting() {
        check_manual(
            include_str!("../../static/manual/en/settings.html"),
            [
                "bytes",
                "s",
                "a path",
                "a list",
                "a text without blanks",
                "none",
                "a name",
            ],
            ["restart", "reload", "at once"],
        );
        check_manual(
            include_str!("../../static/manual/zh/settings.html"),
            ["字节", "秒", "路径", "列表", "不含空白的文本", "无", "名称"],
            ["重启", "reload", "立即"],
        );
    }

    #[test]
    fn names_are_unique_and_rows_are_whole() {
        for (at, setting) in TABLE.iter().enumerate() {
            assert_eq!(index_of(setting.name), Some(at), "{}", setting.name);
            assert!(
                setting.doc.ends_with('.') && !setting.example.is_empty(),
                "{}",
                setting.name
            );
        }
    }
}
