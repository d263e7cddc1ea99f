//! Settings as the call `getSettings` shows them. Secrets are never shown, only whether there is one.

use serde_json::{Value, json};

use crate::pages;
use crate::proto::mask::is_secret_name;
use crate::settings::change::Origin;
use crate::settings::rule::Rule;
use crate::settings::table::{Setting, Settings, TABLE, When};

/// What stands for a secret that is set.
const HIDDEN: &str = "?";

/// Where the Chinese words on every setting are; a test of the table holds its rows to it.
const CHINESE: &str = "/manual/zh/settings.html";

impl Settings {
    /// A row for each setting, in the order of the documentation, then one for each `conf_*` value that is none of ours.
    pub fn rows(&self, in_chinese: bool) -> Value {
        let own = TABLE
            .iter()
            .enumerate()
            .map(|(at, setting)| self.row_of(setting, self.origins[at], in_chinese));
        let others = self.others.iter().map(|(name, value)| {
            let value = match is_secret_name(name) && !value.is_empty() {
                true => HIDDEN,
                false => value,
            };
            let name = name.strip_prefix("conf_").unwrap_or(name);
            json!({"name": name, "value": value, "when": "now", "origin": "conf"})
        });
        own.chain(others).collect()
    }

    fn row_of(&self, setting: &Setting, origin: Origin, in_chinese: bool) -> Value {
        let value = (setting.read)(self);
        let is_hidden = setting.rule == Rule::Secret && !value.is_empty();
        let value = if is_hidden { HIDDEN.to_owned() } else { value };
        let doc = in_chinese.then(|| chinese(setting.name)).flatten();
        let mut row = json!({
            "name": setting.name,
            "value": value,
            "default": setting.default,
            "range": setting.rule.to_string(),
            "example": setting.example,
            "when": match setting.when {
                When::Start => "restart",
                When::Reload => "reload",
                When::RunTime => "now",
            },
            "origin": match origin {
                Origin::Default => "default",
                Origin::File => "file",
                Origin::CommandLine => "command line",
                Origin::RunTime => "conf",
            },
            "doc": doc.as_deref().unwrap_or(setting.doc),
        });
        match setting.rule {
            Rule::Bool => row["words"] = json!(["true", "false"]),
            Rule::Words(words) => row["words"] = json!(words),
            _ => {}
        }
        row
    }
}

/// The last cell of a setting's row on the page, without markup.
fn chinese(name: &str) -> Option<String> {
    let page = str::from_utf8(pages::find(CHINESE)?.bytes).ok()?;
    let start = format!("<tr id=\"{name}\">");
    let row = page.lines().find(|line| line.starts_with(&start))?;
    let (_, doc) = row.strip_suffix("</td></tr>")?.rsplit_once("<td>")?;
    let doc = doc.replace("<code>", "").replace("</code>", "");
    Some(
        doc.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_row_and_no_secret_is_in_it() {
        let mut settings = Settings::default();
        for name in ["token", "admin_token"] {
            settings.set(name, "geheim", Origin::File).expect("right");
        }
        settings
            .set("max_rate", "7", Origin::CommandLine)
            .expect("right");
        for (name, value) in [
            ("conf_dbpass", "geheim"),
            ("conf_x", "y"),
            ("conf_deflate", "0"),
        ] {
            assert_eq!(settings.set_run_time(name, value), Ok(true));
        }
        let rows = settings.rows(false);
        assert!(!rows.to_string().contains("geheim"), "{rows}");
        let row = |name: &str| {
            let rows = rows.as_array().expect("rows");
            rows.iter()
                .find(|row| row["name"] == name)
                .unwrap_or_else(|| panic!("{name}"))
        };
        assert_eq!(rows.as_array().map(Vec::len), Some(TABLE.len() + 2));
        assert_eq!(
            (&row("token")["value"], &row("token")["origin"]),
            (&json!("?"), &json!("file"))
        );
        assert_eq!(row("max_rate")["origin"], "command line");
        assert_eq!(row("max_rate")["range"], "a whole number, 0 to 1000000");
        assert_eq!(row("max_queue")["when"], "now");
        assert_eq!(
            (&row("deflate")["value"], &row("deflate")["origin"]),
            (&json!("false"), &json!("conf"))
        );
        assert_eq!(row("full_queue")["words"], json!(["close", "drop"]));
        assert_eq!(
            (&row("dbpass")["value"], &row("x")["value"]),
            (&json!("?"), &json!("y"))
        );
    }

    #[test]
    fn every_setting_has_chinese_words() {
        for setting in &TABLE {
            let doc = chinese(setting.name).unwrap_or_else(|| panic!("{}", setting.name));
            assert!(
                !doc.is_ascii() && !doc.contains("code>"),
                "{}: {doc}",
                setting.name
            );
        }
    }
}
