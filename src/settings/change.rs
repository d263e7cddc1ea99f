//! How values get into [`Settings`]: by name, at run time, by a reload; and what differs.
//! What one may set when is the table's business ([`super::table`]).

use std::fmt;
use std::net::IpAddr;

use crate::limits::{
    CONF_OTHER_MAX, CONF_OTHER_NAME_BYTES_MAX, CONF_OTHER_VALUE_BYTES_MAX, SETTING_SHOWN_BYTES_MAX,
};
use crate::proto::logtext::log_text;
use crate::settings::rule::Rule;
use crate::settings::table::index_of;
use crate::settings::{FileValues, Settings, TABLE, When};

/// Who set a value last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The settings file.
    File,
    /// The command line, which goes before the file, also at a reload.
    CommandLine,
    /// The call `conf`.
    RunTime,
}

/// A value that a setting cannot take, or a setting that does not exist. Displayed as what was
/// wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name as given, escaped and cut.
    pub name: String,
    /// The value as given, escaped and cut; `?` for a secret. `None`: there is no such setting.
    pub value: Option<String>,
    /// What would be right, without an example.
    pub expected: String,
    /// A right value; empty for none.
    pub example: &'static str,
}

impl SettingError {
    pub(super) fn of_value(row: usize, value: &str) -> Self {
        let setting = &TABLE[row];
        SettingError {
            name: setting.name.to_owned(),
            value: Some(if setting.rule == Rule::Secret {
                "?".to_owned()
            } else {
                shown(value)
            }),
            expected: setting.rule.to_string(),
            example: setting.example,
        }
    }

    pub(super) fn unknown(name: &str) -> Self {
        let expected = match nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`jdserver -h` lists all".to_owned(),
        };
        SettingError {
            name: shown(name),
            value: None,
            expected,
            example: "",
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SettingError {
            name,
            value,
            expected,
            example,
        } = self;
        match value {
            None => write!(f, "unknown setting `{name}`: {expected}"),
            Some(value) if example.is_empty() => {
                write!(f, "{name} = \"{value}\": expected {expected}")
            }
            Some(value) => write!(
                f,
                "{name} = \"{value}\": expected {expected}, e.g. {example}"
            ),
        }
    }
}

impl std::error::Error for SettingError {}

/// Wrong input as a message shows it.
fn shown(text: &str) -> String {
    log_text(text, SETTING_SHOWN_BYTES_MAX).into_owned()
}

/// The setting whose name is closest to a mistyped one, if it is close at all.
fn nearest(name: &str) -> Option<&'static str> {
    let plain = |name: &str| {
        name.trim_start_matches("conf_")
            .replace(['_', '-'], "")
            .to_ascii_lowercase()
    };
    // An absurdly long key is no slip of the finger.
    if name.len() > 2 * CONF_OTHER_NAME_BYTES_MAX {
        return None;
    }
    let typed = plain(name);
    let distance = |other: &str| distance(typed.as_bytes(), plain(other).as_bytes());
    let near = TABLE
        .iter()
        .map(|setting| (distance(setting.name), setting.name))
        .min()?;
    // Two swapped letters are a distance of two.
    (near.0 <= 2.max(typed.len() / 3) && near.0 + 1 < typed.len()).then_some(near.1)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Settings {
    /// Sets one value from text, by its name in the file, whenever it may change.
    /// Errors: an unknown name, or a value that breaks the setting's rule; nothing changes then.
    pub fn set(&mut self, name: &str, value: &str, origin: Origin) -> Result<(), SettingError> {
        let row = index_of(name).ok_or_else(|| SettingError::unknown(name))?;
        self.set_row(row, value, origin)
    }

    /// The defaults, but for these. For tests.
    #[cfg(test)]
    #[track_caller]
    pub(crate) fn of(rows: &[(&str, &str)]) -> Self {
        let mut settings = Settings::default();
        for (name, value) in rows {
            let set = settings.set(name, value, Origin::File);
            set.expect("a right value");
        }
        settings
    }

    pub(super) fn set_row(
        &mut self,
        row: usize,
        value: &str,
        origin: Origin,
    ) -> Result<(), SettingError> {
        let setting = &TABLE[row];
        if !(setting.write)(self, &setting.rule, value) {
            return Err(SettingError::of_value(row, value));
        }
        self.origins[row] = origin;
        Ok(())
    }

    /// The call `conf` sets one value. `false`: this name is not set by calls (no `conf_` before it, or
    /// token, listener or path). Unknown names are kept for plugins. Errors: a wrong value, or too
    /// many or too long unknown ones. Source: contract 6.
    pub fn set_run_time(&mut self, conf_name: &str, text: &str) -> Result<bool, SettingError> {
        let Some(name) = conf_name
            .strip_prefix("conf_")
            .filter(|name| !name.is_empty())
        else {
            return Ok(false);
        };
        match index_of(name) {
            Some(row) if TABLE[row].when != When::RunTime => Ok(false),
            Some(row) => self.set_row(row, text, Origin::RunTime).map(|()| true),
            None => self.set_other(conf_name, text).map(|()| true),
        }
    }

    fn set_other(&mut self, conf_name: &str, text: &str) -> Result<(), SettingError> {
        let refused = |expected: String| SettingError {
            name: shown(conf_name),
            value: Some(shown(text)),
            expected,
            example: "",
        };
        if conf_name.len() > CONF_OTHER_NAME_BYTES_MAX {
            return Err(refused(format!(
                "a name of at most {CONF_OTHER_NAME_BYTES_MAX} bytes"
            )));
        }
        if text.len() > CONF_OTHER_VALUE_BYTES_MAX {
            return Err(refused(format!(
                "at most {CONF_OTHER_VALUE_BYTES_MAX} bytes"
            )));
        }
        if let Some(value) = self.others.get_mut(conf_name) {
            text.clone_into(value);
        } else if self.others.len() < CONF_OTHER_MAX {
            self.others.insert(conf_name.to_owned(), text.to_owned());
        } else {
            return Err(refused(format!(
                "at most {CONF_OTHER_MAX} names besides the known ones"
            )));
        }
        Ok(())
    }

    /// A value as text, by its name with or without `conf_`: a setting's, or one that is none of ours; `?` for a secret. `None`
    /// for what nobody set.
    pub fn text_of(&self, name: &str) -> Option<String> {
        let bare = name.strip_prefix("conf_").unwrap_or(name);
        match index_of(bare) {
            Some(row) if TABLE[row].rule == Rule::Secret => Some("?".to_owned()),
            Some(row) => Some((TABLE[row].read)(self)),
            None => self.other(&format!("conf_{bare}")).map(str::to_owned),
        }
    }

    /// A run-time value under a name that is none of ours, `conf_` included.
    pub fn other(&self, conf_name: &str) -> Option<&str> {
        self.others.get(conf_name).map(String::as_str)
    }

    /// Who set a value last. `Default` for an unknown name.
    pub fn origin(&self, name: &str) -> Origin {
        index_of(name).map_or(Origin::Default, |row| self.origins[row])
    }

    /// The values that differ from `other`'s, as (name, own value, other's value); secrets as `?`.
    pub fn diff(&self, other: &Settings) -> Vec<(&'static str, String, String)> {
        let differing =
            |(setting, old, new): (&'static crate::settings::Setting, String, String)| {
                if old == new {
                    return None;
                }
                let hide = |text: String| match setting.rule {
                    Rule::Secret if !text.is_empty() => "?".to_owned(),
                    _ => text,
                };
                Some((setting.name, hide(old), hide(new)))
            };
        TABLE
            .iter()
            .map(|setting| (setting, (setting.read)(self), (setting.read)(other)))
            .filter_map(differing)
            .collect()
    }

    /// What holds after the file was read again: what it says replaces, what it no longer says falls
    /// back to the default, and what the command line or (where the file is silent) `conf` set stays. Listeners and
    /// paths keep their values ([`Settings::needs_restart`]). Source: design, "Closing".
    pub fn reloaded(&self, file: &FileValues) -> Settings {
        let mut next = self.clone();
        for (row, setting) in TABLE.iter().enumerate() {
            let (value, origin) = match (file.row(row), self.origins[row]) {
                _ if setting.when == When::Start => continue,
                (_, Origin::CommandLine) => continue,
                (Some(value), _) => (value, Origin::File),
                (None, Origin::File) => (setting.default, Origin::Default),
                (None, _) => continue,
            };
            // Neither a default nor a value of the file, judged when it was read, breaks its rule.
            let _ = next.set_row(row, value, origin);
        }
        next
    }

    /// The settings that the file now says otherwise but that only a restart can change.
    pub fn needs_restart(&self, file: &FileValues) -> Vec<&'static str> {
        let mut fresh = Settings::default();
        file.apply(&mut fresh);
        let is_other = |row: usize| {
            let setting = &TABLE[row];
            setting.when == When::Start
                && matches!(self.origins[row], Origin::Default | Origin::File)
                && (setting.read)(self) != (setting.read)(&fresh)
        };
        (0..TABLE.len())
            .filter(|&row| is_other(row))
            .map(|row| TABLE[row].name)
            .collect()
    }

    /// Whether a browser's page from `origin` may call. Source: contract 6, `conf_allow_origin`.
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        self.allow_origin.is_empty()
            || self
                .allow_origin
                .iter()
                .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin))
    }

    /// Whether this peer's `X-Forwarded-For` counts. Source: contract 6, `conf_trusted_proxy`.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxy.iter().any(|net| net.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(name: &str, value: &str, want: &str) {
        let mut settings = Settings::default();
        let error = settings
            .set(name, value, Origin::File)
            .expect_err("an error");
        assert_eq!(error.to_string(), want);
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn errors_say_what_was_wrong_and_what_would_be_right() {
        check_error(
            "max_rate",
            "x",
            "max_rate = \"x\": expected a whole number, 0 to 1000000, e.g. 100",
        );
        check_error(
            "port",
            "80a",
            "port = \"80a\": expected a port, 1 to 65535, e.g. 8081",
        );
        check_error(
            "full_queue",
            "\n",
            "full_queue = \"\\n\": expected close or drop, e.g. drop",
        );
        check_error(
            "token",
            "a b",
            "token = \"?\": expected a text without blanks, e.g. a-long-random-text",
        );
        check_error(
            "max_rat",
            "1",
            "unknown setting `max_rat`: did you mean `max_rate`?",
        );
        check_error(
            "conf_htmlescape",
            "1",
            "unknown setting `conf_htmlescape`: did you mean `htmlEscape`?",
        );
        check_error("pot", "1", "unknown setting `pot`: did you mean `port`?");
        check_error("zzz", "1", "unknown setting `zzz`: `jdserver -h` lists all");
        check_error("", "1", "unknown setting ``: `jdserver -h` lists all");
    }

    #[test]
    fn wrong_input_is_cut() {
        let error = Settings::default()
            .set("max_rate", &"9".repeat(100_000), Origin::File)
            .expect_err("an error");
        assert!(error.to_string().len() < 200);
        let error = Settings::default()
            .set(&"n".repeat(100_000), "", Origin::File)
            .expect_err("an error");
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn run_time_takes_what_may_change() {
        let mut settings = Settings::default();
        assert_eq!(settings.set_run_time("conf_jdserver_log_ws", "1"), Ok(true));
        assert!(settings.log_ws);
        assert_eq!(
            settings.set_run_time("conf_httpCallTimeout", "0.5"),
            Ok(true)
        );
        assert_eq!(settings.http_call_timeout_ms, 500);
        for name in [
            "conf_token",
            "conf_port",
            "conf_listen",
            "conf_all",
            "conf_unix",
            "conf_data_dir",
            "conf_log_file",
            "conf_static_dir",
            "other",
            "conf_",
            "jdserver_log_ws",
            "",
        ] {
            let before = settings.clone();
            assert_eq!(settings.set_run_time(name, "1"), Ok(false), "{name}");
            assert_eq!(settings, before, "{name}");
        }
        assert!(settings.set_run_time("conf_workers", "many").is_err());
        assert_eq!(settings.workers, 32);
    }

    #[test]
    fn unknown_run_time_names_are_kept_within_bounds() {
        let mut settings = Settings::default();
        for n in 0..CONF_OTHER_MAX {
            assert_eq!(settings.set_run_time(&format!("conf_p{n}"), "1"), Ok(true));
        }
        assert!(settings.set_run_time("conf_more", "1").is_err());
        assert_eq!(settings.set_run_time("conf_p0", "2"), Ok(true));
        assert_eq!(settings.other("conf_p0"), Some("2"));
        assert!(
            settings
                .set_run_time("conf_p0", &"x".repeat(CONF_OTHER_VALUE_BYTES_MAX + 1))
                .is_err()
        );
        assert!(
            Settings::default()
                .set_run_time(
                    &format!("conf_{}", "x".repeat(CONF_OTHER_NAME_BYTES_MAX)),
                    "1"
                )
                .is_err()
        );
        assert_eq!(settings.other("conf_p0"), Some("2"));
    }

    fn file(text: &str) -> FileValues {
        FileValues::parse(text).expect("a right file")
    }

    #[test]
    fn reload_replaces_what_the_file_says_and_keeps_the_rest() {
        let mut settings = Settings::default();
        file("max_rate = 5\nworkers = 3\ntoken = 'one'\nport = 1").apply(&mut settings);
        settings
            .set("echo", "true", Origin::CommandLine)
            .expect("right");
        for (name, value) in [
            ("conf_deflate", "0"),
            ("conf_htmlEscape", "0"),
            ("conf_x", "y"),
        ] {
            assert_eq!(settings.set_run_time(name, value), Ok(true));
        }
        let now = file("max_rate = 7\necho = false\ndeflate = true\ntoken = 'two'\nport = 2");
        let next = settings.reloaded(&now);
        assert_eq!(next.max_rate, 7);
        assert_eq!(next.workers, 32, "gone from the file: the default");
        assert!(next.echo, "the command line goes before the file");
        assert!(next.deflate, "the file replaces what conf set");
        assert!(!next.html_escape, "the file is silent: conf stays");
        assert_eq!(next.other("conf_x"), Some("y"));
        assert!(next.token.matches(b"two"));
        assert_eq!(next.port, 1, "listeners need a restart");
        assert_eq!(settings.needs_restart(&now), ["port"]);
        assert_eq!(
            settings.needs_restart(&file("")),
            ["port"],
            "gone from the file: the default at the next start"
        );
        assert_eq!(next.reloaded(&now), next);
        let changes = settings.diff(&next);
        let names: Vec<_> = changes.iter().map(|change| change.0).collect();
        assert_eq!(names, ["token", "max_rate", "deflate", "workers"]);
        assert_eq!(changes[0], ("token", "?".to_owned(), "?".to_owned()));
        assert_eq!(changes[1], ("max_rate", "5".to_owned(), "7".to_owned()));
    }

    #[test]
    fn origins_and_proxies() {
        let mut settings = Settings::default();
        assert!(settings.allows_origin(b"https://any.example") && settings.allows_origin(b"null"));
        assert!(!settings.trusts(IpAddr::from([127, 0, 0, 1])));
        file("allow_origin = ['https://a.example']\ntrusted_proxy = '127.0.0.1'")
            .apply(&mut settings);
        assert!(settings.allows_origin(b"https://A.example"));
        assert!(
            !settings.allows_origin(b"https://a.example.evil")
                && !settings.allows_origin(b"null")
                && !settings.allows_origin(b"")
        );
        assert!(settings.trusts(IpAddr::from([127, 0, 0, 1])));
    }
}
