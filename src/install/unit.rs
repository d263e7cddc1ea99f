//! The unit's text. What every line of it has to be understood by: systemd 247 (Debian 11) and later.

use crate::account::Account;

/// With `@BINARY@` and `@ACCOUNT@` to be filled in; `tests/service` and `tests/systemd.sh` try it.
const TEMPLATE: &str = include_str!("jdserver.service");

/// A unit that runs `binary`, an absolute path, as a user, in the group that `user` names, if any.
/// `None` where a unit cannot hold that path.
pub fn text(binary: &str, account: &Account, group: Option<&str>) -> Option<String> {
    let mut lines = format!("User={}", account.name);
    if let Some(group) = group {
        lines.push_str(&format!("\nGroup={group}"));
    }
    let text = TEMPLATE.replace("@ACCOUNT@", &lines);
    Some(text.replace("@BINARY@", &quoted(binary)?))
}

/// Whether a unit's text is one of ours.
pub fn is_ours(text: &str) -> bool {
    let mark = TEMPLATE.split_once(',').map_or(TEMPLATE, |(mark, _)| mark);
    text.starts_with(mark)
}

/// A path as the first word of a command, by systemd.service(5), "Command lines". Not a `$`: in that place there is no
/// way to write one that all versions agree on.
fn quoted(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == '$') {
        return None;
    }
    let path = path.replace('%', "%%");
    let is_plain = |c: char| !c.is_whitespace() && !"\"'\\".contains(c);
    if path.chars().all(is_plain) {
        return Some(path);
    }
    Some(format!(
        "\"{}\"",
        path.replace('\\', r"\\").replace('"', "\\\"")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            name: "jdserver".to_owned(),
            uid: 7.into(),
            gid: 8.into(),
        }
    }

    #[track_caller]
    fn check(path: &str, want: Option<&str>) {
        let text = text(path, &account(), None);
        let line = text.as_deref().map(|text| {
            let mut lines = text.lines();
            lines
                .find_map(|line| line.strip_prefix("ExecStart="))
                .expect("one")
        });
        let want = want.map(|path| format!("{path} -c /etc/jdserver/jdserver.toml"));
        assert_eq!(line, want.as_deref(), "{path}");
    }

    #[test]
    fn the_binary_by_its_path() {
        check("/usr/local/bin/jdserver", Some("/usr/local/bin/jdserver"));
        check("/opt/jd 1/100%/x", Some("\"/opt/jd 1/100%%/x\""));
        check("/opt/a\"b\\c'd", Some(r#""/opt/a\"b\\c'd""#));
        check("/opt/\u{4e2d}/jdserver", Some("/opt/\u{4e2d}/jdserver"));
        for path in ["jdserver", "/a\nExecStartPre=/b", "/a\x7f", "/a$b"] {
            check(path, None);
        }
    }

    #[test]
    fn the_user_and_nothing_left_to_fill_in() {
        for (group, want) in [
            (None, "\nUser=jdserver\nUMask="),
            (Some("web"), "\nUser=jdserver\nGroup=web\nUMask="),
        ] {
            let text = text("/x", &account(), group).expect("a text");
            assert!(text.contains(want), "{text}");
            assert!(
                !text.contains("@BINARY") && !text.contains("@ACCOUNT"),
                "{text}"
            );
            assert!(is_ours(&text));
        }
        for text in ["", "[Unit]\n", "# Written by somebody"] {
            assert!(!is_ours(text), "{text:?}");
        }
    }
}
