//! The text of a new settings file: every setting with its words and its default, commented out. Never writes it.

use crate::settings::change::Origin;
use crate::settings::rule::{Rule, Scaled};
use crate::settings::table::{Setting, Settings, TABLE, When};

const HEAD: &str = "\
# Settings of jdserver. Take the # before a name away to set it; what is commented out has its default.
# In brackets: what a value must look like, and when a change takes effect: `restart`; `reload`, or SIGHUP; `at once`,
# then by the call /conf?conf_NAME=VALUE too. `jdserver -t -c FILE` checks a file, /manual/ of a running daemon tells more.
";

/// What follows an example, so that it is not taken for a default.
const EXAMPLE: &str = "    # an example";

impl Settings {
    /// A settings file that says what the command line says of `self`, and shows the rest commented out, so that it
    /// loads as it is.
    pub fn template(&self) -> String {
        let mut text = HEAD.to_owned();
        for (setting, origin) in TABLE.iter().zip(&self.origins) {
            let when = match setting.when {
                When::Start => "restart",
                When::Reload => "reload",
                When::RunTime => "at once",
            };
            let (name, rule, doc) = (setting.name, setting.rule, setting.doc);
            let line = match origin {
                Origin::CommandLine => {
                    format!("{name} = {}", literal(&rule, &(setting.read)(self)))
                }
                _ => commented(setting),
            };
            text.push_str(&format!("\n# {doc} [{rule}; {when}]\n{line}\n"));
        }
        text
    }
}

/// The default; where that is none, an example.
fn commented(setting: &Setting) -> String {
    let (name, rule) = (setting.name, setting.rule);
    match setting.default {
        "" => format!("#{name} = {}{EXAMPLE}", literal(&rule, setting.example)),
        default => format!("#{name} = {}", literal(&rule, default)),
    }
}

/// A value as TOML.
fn literal(rule: &Rule, text: &str) -> String {
    if let Rule::Bytes { .. } = rule
        && let Ok(bytes) = text.parse()
    {
        let scaled = Scaled(bytes).to_string();
        return if scaled.ends_with(|c: char| c.is_ascii_digit()) {
            scaled
        } else {
            quoted(&scaled)
        };
    }
    let is_bare =
        *rule == Rule::Bool || rule.is_number() && text.ends_with(|c: char| c.is_ascii_digit());
    if is_bare {
        text.to_owned()
    } else if rule.is_list() {
        let items: Vec<_> = text.split(',').map(quoted).collect();
        format!("[{}]", items.join(", "))
    } else {
        quoted(text)
    }
}

/// A basic string. JSON's escapes are TOML's too; TOML wants one more character escaped.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\x7f', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::FileValues;

    #[track_caller]
    fn loaded(text: &str) -> Settings {
        let mut settings = Settings::default();
        FileValues::parse(text)
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
            .apply(&mut settings);
        settings
    }

    #[test]
    fn it_loads_as_it_is_and_names_every_setting_once() {
        let text = Settings::default().template();
        assert_eq!(loaded(&text), Settings::default());
        assert!(
            text.lines()
                .all(|line| line.is_empty() || line.starts_with('#'))
        );
        for setting in &TABLE {
            let start = format!("#{} = ", setting.name);
            let lines = text.lines().filter(|line| line.starts_with(&start));
            assert_eq!(lines.count(), 1, "{}", setting.name);
            assert!(
                text.contains(&format!("\n# {} [", setting.doc)),
                "{}",
                setting.name
            );
        }
    }

    /// Without the `#` before names: each default is the default, each example is right.
    #[test]
    fn what_is_commented_out_is_right() {
        let text = Settings::default().template();
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => Some(rest.to_owned()),
            _ => None,
        };
        let lines: Vec<_> = text.lines().filter_map(uncommented).collect();
        assert_eq!(lines.len(), TABLE.len());
        let all = loaded(&lines.join("\n"));
        for (setting, line) in TABLE.iter().zip(&lines) {
            let want = match line.ends_with(EXAMPLE) {
                true => setting.example,
                false => setting.default,
            };
            let mut settings = Settings::default();
            settings
                .set(setting.name, want, Origin::File)
                .expect("right");
            assert_eq!((setting.read)(&all), (setting.read)(&settings), "{line}");
        }
    }

    #[test]
    fn what_the_command_line_says_is_said() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("port", "9000"),
            ("all", "true"),
            ("listen", "[::1]:1,unix:/x y"),
            ("max_queue", "65537"),
            ("ping_interval", "0.5"),
            ("log_file", "/a \"b\"\\\x7f\t\u{4e2d}"),
        ] {
            settings
                .set(name, value, Origin::CommandLine)
                .expect("right");
        }
        let text = settings.template();
        assert!(loaded(&text).diff(&settings).is_empty());
        for line in [
            "port = 9000",
            "all = true",
            "listen = [\"[::1]:1\", \"unix:/x y\"]",
            "max_queue = 65537",
            "ping_interval = 0.5",
            "#workers = 32",
            "#max_body = \"4M\"",
            "#unix = \"/run/jdserver.sock\"    # an example",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
