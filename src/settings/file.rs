//! The settings file's text: TOML with one key per setting. Reading the file itself is
//! [`crate::worker::settings`]'s business.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::change::SettingError;
use crate::settings::rule::Rule;
use crate::settings::table::index_of;
use crate::settings::{Origin, Settings, TABLE};

/// Settings that the environment may say as well, as with the original.
const OF_ENVIRONMENT: [&str; 3] = ["P_TEST_MODE", "P_DEBUG", "P_DEBUG_LOG"];

/// What a settings file says: only known names, each with a value that its rule allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileValues {
    /// Row of the table and text.
    rows: Vec<(usize, String)>,
}

/// What is wrong with a settings file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Line, from 1.
    pub line: usize,
    /// One line, escaped.
    pub text: String,
}

/// `LINE: text`, to be put behind the file's name.
impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

impl std::error::Error for FileError {}

impl FileValues {
    /// Reads the text of a settings file. A key is a setting's name, with or without `conf_`.
    /// Errors: the first line that is no TOML, names no setting or gives a wrong value.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let line_of = |at: usize| {
            1 + text
                .as_bytes()
                .iter()
                .take(at)
                .filter(|&&byte| byte == b'\n')
                .count()
        };
        let table = DeTable::parse(text).map_err(|error| FileError {
            line: line_of(error.span().map_or(0, |span| span.start)),
            text: error.message().replace('\n', ", "),
        })?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut values = FileValues::default();
        for (key, value) in entries {
            values
                .take(key.get_ref(), value)
                .map_err(|text| FileError {
                    line: line_of(key.span().start),
                    text,
                })?;
        }
        Ok(values)
    }

    fn take(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let name = key.strip_prefix("conf_").unwrap_or(key);
        let row = index_of(name).ok_or_else(|| SettingError::unknown(key).to_string())?;
        if self.row(row).is_some() {
            return Err(format!(
                "`{name}` is set twice: leave one of `{name}` and `conf_{name}` out"
            ));
        }
        let text = text_of(&TABLE[row].rule, value.get_ref())
            .ok_or_else(|| wrong_type(row, value.get_ref()))?;
        Settings::default()
            .set_row(row, &text, Origin::File)
            .map_err(|error| error.to_string())?;
        self.rows.push((row, text));
        Ok(())
    }

    /// Adds what the environment says where the file says nothing. Errors: a wrong value.
    pub fn add_environment(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        for name in OF_ENVIRONMENT {
            let row = index_of(name).filter(|&row| self.row(row).is_none());
            let text = variable(name).filter(|text| !text.is_empty());
            let (Some(row), Some(text)) = (row, text) else {
                continue;
            };
            Settings::default()
                .set_row(row, &text, Origin::File)
                .map_err(|error| format!("the environment: {error}"))?;
            self.rows.push((row, text));
        }
        Ok(())
    }

    pub(super) fn row(&self, row: usize) -> Option<&str> {
        self.rows
            .iter()
            .find(|entry| entry.0 == row)
            .map(|entry| entry.1.as_str())
    }

    /// Sets all of it, whenever the settings may change: for the start.
    pub fn apply(&self, settings: &mut Settings) {
        for (row, text) in &self.rows {
            // Judged when it was read.
            let _ = settings.set_row(*row, text, Origin::File);
        }
    }
}

/// The value as the text that `conf` would take; `None` when its type does not fit the rule.
fn text_of(rule: &Rule, value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Boolean(on) if *rule == Rule::Bool => Some(on.to_string()),
        DeValue::Integer(digits) if rule.is_number() => {
            i64::from_str_radix(digits.as_str(), digits.radix())
                .ok()
                .map(|number| number.to_string())
        }
        DeValue::Float(digits) if matches!(rule, Rule::Seconds { .. }) => {
            Some(digits.as_str().to_owned())
        }
        DeValue::Array(list) if rule.is_list() => {
            let texts: Option<Vec<&str>> =
                list.iter().map(|item| item.get_ref().as_str()).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

fn wrong_type(row: usize, value: &DeValue<'_>) -> String {
    let setting = &TABLE[row];
    let (name, rule, example) = (setting.name, setting.rule, setting.example);
    let kind = value.type_str();
    if rule.is_list() {
        format!("{name}: found {kind}, expected a list, e.g. {name} = [\"{example}\"]")
    } else if rule.is_number() || rule == Rule::Bool {
        format!("{name}: found {kind}, expected {rule}, e.g. {name} = {example}")
    } else {
        format!("{name}: found {kind}, expected {rule} in quotes, e.g. {name} = \"{example}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_the_file_does_not() {
        let environment = |name: &str| match name {
            "P_TEST_MODE" => Some("1".to_owned()),
            "P_DEBUG" => Some("9".to_owned()),
            "P_DEBUG_LOG" => Some(String::new()),
            _ => Some("wrong".to_owned()),
        };
        let mut values = FileValues::parse("P_DEBUG = 1").expect("right");
        values.add_environment(environment).expect("right");
        let mut settings = Settings::default();
        values.apply(&mut settings);
        let levels = (settings.debug_level, settings.debug_log);
        assert_eq!((settings.test_mode, levels), (true, (1, 0)));
        let error = FileValues::default().add_environment(|_| Some("maybe".to_owned()));
        let error = error.expect_err("wrong");
        assert!(error.starts_with("the environment: P_TEST_MODE"), "{error}");
    }

    #[test]
    fn values_of_every_type() {
        let text = "# comment\nport = 9_000\nlisten = [\"[::1]:80\",\n 'unix:/x']\nall = true\nping_interval = 0.5\nping_timeout = 3\n\
                    max_body = \"2M\"\nmax_queue = 0x400\ntoken = 'x'\nconf_htmlEscape = \"off\"\ntrusted_proxy = '::1, 10.0.0.0/8'\n";
        let mut settings = Settings::default();
        FileValues::parse(text)
            .expect("a right file")
            .apply(&mut settings);
        assert_eq!(
            (settings.port, settings.all, settings.listen.len()),
            (9_000, true, 2)
        );
        assert_eq!(
            (settings.ping_interval_ms, settings.ping_timeout_ms),
            (500, 3_000)
        );
        assert_eq!((settings.max_body, settings.max_queue), (2 << 20, 1_024));
        assert!(settings.token.matches(b"x") && !settings.html_escape);
        assert_eq!(settings.trusted_proxy.len(), 2);
        assert_eq!(settings.origin("port"), Origin::File);
        assert_eq!(settings.origin("workers"), Origin::Default);
        assert_eq!(FileValues::parse(""), Ok(FileValues::default()));
    }

    #[track_caller]
    fn check_error(text: &str, line: usize, want: &str) {
        assert_eq!(
            FileValues::parse(text),
            Err(FileError {
                line,
                text: want.to_owned()
            }),
            "{text:?}"
        );
    }

    #[test]
    fn errors_name_line_key_and_remedy() {
        check_error(
            "port = 1\n\nprot = 8081\n",
            3,
            "unknown setting `prot`: did you mean `port`?",
        );
        check_error(
            "[server]\nport = 1\n",
            1,
            "unknown setting `server`: `jdserver -h` lists all",
        );
        check_error(
            "port = 70000",
            1,
            "port = \"70000\": expected a port, 1 to 65535, e.g. 8081",
        );
        check_error(
            "workers = -1",
            1,
            "workers = \"-1\": expected a whole number, 1 to 1024, e.g. 32",
        );
        check_error(
            "workers = 1.5",
            1,
            "workers: found float, expected a whole number, 1 to 1024, e.g. workers = 32",
        );
        check_error(
            "all = 1",
            1,
            "all: found integer, expected true or false, e.g. all = true",
        );
        check_error(
            "token = 12",
            1,
            "token: found integer, expected a text without blanks in quotes, e.g. token = \"a-long-random-text\"",
        );
        check_error(
            "\nlisten = 8081",
            2,
            "listen: found integer, expected a list, e.g. listen = [\"[::1]:8081\"]",
        );
        check_error(
            "listen = [8081]",
            1,
            "listen: found array, expected a list, e.g. listen = [\"[::1]:8081\"]",
        );
        check_error(
            "listen = ['x']",
            1,
            "listen = \"x\": expected an address and port, e.g. [::1]:8081",
        );
        check_error(
            "ping_interval = nan",
            1,
            "ping_interval = \"nan\": expected seconds, 0 to 86400, e.g. 25",
        );
        check_error(
            "echo = true\nconf_echo = true",
            2,
            "`echo` is set twice: leave one of `echo` and `conf_echo` out",
        );
        check_error(
            "workers = 99999999999999999999",
            1,
            "workers: found integer, expected a whole number, 1 to 1024, e.g. workers = 32",
        );
    }

    #[test]
    fn text_that_is_no_toml_names_its_line() {
        for (text, line) in [
            ("port = 1\nport = 2\n", 2),
            ("a b\n", 1),
            ("port = 1\n= 2", 2),
            ("port = 1\nx = \"", 2),
        ] {
            let error = FileValues::parse(text).expect_err("no TOML");
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(
                !error.text.is_empty() && !error.text.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(FileValues::parse(&format!("listen = {}", "[".repeat(100_000))).is_err());
    }
}
