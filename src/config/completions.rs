//! What shells complete by, made of the option table. Each script is whole in itself: it asks neither the daemon nor
//! other scripts. Never reads a file.

use crate::config::options::{CommandOption, OPTIONS, shown};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// What an option's value can be completed to.
#[derive(Clone, Copy)]
enum Value {
    File,
    Folder,
    User,
    Shell,
    /// Something that only people know.
    Free,
}

/// The script for a shell. Errors: one line without the program's name.
pub(super) fn script(shell: &str) -> Result<String, String> {
    match shell {
        "bash" => Ok(bash()),
        "zsh" => Ok(zsh()),
        "fish" => Ok(fish()),
        _ => Err(format!(
            "--completions {}: expected {}, e.g. --completions bash",
            shown(shell),
            SHELLS.join(" or ")
        )),
    }
}

/// `None` for a switch.
fn value(option: &CommandOption) -> Option<Value> {
    Some(match option.hint {
        "" => return None,
        "FILE" | "PATH" => Value::File,
        "DIR" => Value::Folder,
        "USER" => Value::User,
        "SHELL" => Value::Shell,
        _ => Value::Free,
    })
}

fn head(first: &str) -> String {
    format!("{first}, written by: jdserver --completions\n")
}

/// `-p`, where there is one, and `--port`.
fn forms(option: &CommandOption) -> impl Iterator<Item = String> {
    let short = (!option.short.is_empty()).then(|| format!("-{}", option.short));
    short.into_iter().chain([format!("--{}", option.long)])
}

fn bash() -> String {
    let mut text = head("# bash completion for jdserver");
    // `--data=DIR` is three words where `=` breaks words, as it does by default.
    text.push_str(
        r#"_jdserver() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    case $prev in
"#,
    );
    for option in &OPTIONS {
        let Some(value) = value(option) else { continue };
        let names: Vec<_> = forms(option).collect();
        let made = match value {
            Value::File => "compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")".to_owned(),
            Value::Folder => "compopt -o filenames 2>/dev/null\n            mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")".to_owned(),
            Value::User => "mapfile -t COMPREPLY < <(compgen -u -- \"$cur\")".to_owned(),
            Value::Shell => format!("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")", SHELLS.join(" ")),
            Value::Free => ":".to_owned(),
        };
        text.push_str(&format!(
            "        {})\n            {made}\n            ;;\n",
            names.join(" | ")
        ));
    }
    let all: Vec<_> = OPTIONS.iter().flat_map(forms).collect();
    text.push_str(&format!(
        "        *)\n            mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")\n            ;;\n    esac\n}}\ncomplete -F _jdserver jdserver\n",
        all.join(" ")
    ));
    text
}

fn zsh() -> String {
    let mut text = head("#compdef jdserver\n# zsh completion for jdserver");
    text.push_str("_arguments -s -S");
    for option in &OPTIONS {
        let action = value(option).map(|value| match value {
            Value::File => "_files".to_owned(),
            Value::Folder => "_files -/".to_owned(),
            Value::User => "_users".to_owned(),
            Value::Shell => format!("({})", SHELLS.join(" ")),
            Value::Free => " ".to_owned(),
        });
        // A short form's value may be in the same word, a long one's behind `=`; either may be the next word.
        let (short_end, long_end) = match &action {
            Some(_) => ("+", "="),
            None => ("", ""),
        };
        let value = action.map_or(String::new(), |action| format!(":{}:{action}", option.hint));
        let rest = format!("[{}]{value}", zsh_text(option.doc));
        let long = format!("--{}", option.long);
        let repeats = if option.repeats() { "*" } else { "" };
        let line = match option.short {
            "" => format!("'{repeats}{long}{long_end}{rest}'"),
            short => {
                format!("'(-{short} {long})'{{-{short}{short_end},{long}{long_end}}}'{rest}'")
            }
        };
        text.push_str(" \\\n  ");
        text.push_str(&line);
    }
    text.push('\n');
    text
}

/// Within brackets and single quotes.
fn zsh_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\'' => out.push_str(r"'\''"),
            '\\' | '[' | ']' | ':' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn fish() -> String {
    let mut text = head("# fish completion for jdserver");
    // Nothing but options stands on the command line.
    text.push_str("complete -c jdserver -f\n");
    for option in &OPTIONS {
        text.push_str("complete -c jdserver");
        if !option.short.is_empty() {
            text.push_str(&format!(" -s {}", option.short));
        }
        text.push_str(&format!(" -l {}", option.long));
        text.push_str(&match value(option) {
            None => String::new(),
            Some(Value::File) => " -r -F".to_owned(),
            Some(Value::Folder) => " -x -a '(__fish_complete_directories)'".to_owned(),
            Some(Value::User) => " -x -a '(__fish_complete_users)'".to_owned(),
            Some(Value::Shell) => format!(" -x -a '{}'", SHELLS.join(" ")),
            Some(Value::Free) => " -x".to_owned(),
        });
        let doc = option.doc.replace('\\', r"\\").replace('\'', r"\'");
        text.push_str(&format!(" -d '{doc}'\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_names_every_option() {
        for shell in SHELLS {
            let text = script(shell).expect("a shell");
            for option in &OPTIONS {
                let long = match shell {
                    "fish" => format!(" -l {} ", option.long),
                    _ => format!("--{}", option.long),
                };
                assert!(text.contains(&long), "{shell}: {long}");
            }
        }
    }

    #[track_caller]
    fn check_line(shell: &str, want: &str) {
        let text = script(shell).expect("a shell");
        assert!(text.lines().any(|line| line == want), "{want} in {text}");
    }

    #[test]
    fn values_are_completed_by_their_kind() {
        check_line("bash", "        -d | --data)");
        check_line(
            "zsh",
            r"  '(-p --port)'{-p+,--port=}'[listen on 127.0.0.1\:PORT (8081)]:PORT: ' \",
        );
        check_line(
            "zsh",
            r"  '(-d --data)'{-d+,--data=}'[folder of logs and timers (the working directory)]:DIR:_files -/' \",
        );
        check_line(
            "zsh",
            r"  '*--listen=[listen on ADDRESS\:PORT, \[IPV6\]\:PORT or unix\:/path instead; may be repeated]:ADDR: ' \",
        );
        check_line(
            "zsh",
            r"  '(-a --all)'{-a,--all}'[listen on all interfaces]' \",
        );
        check_line(
            "fish",
            "complete -c jdserver -s c -l config -r -F -d 'settings file (./jdserver.toml, else /etc/jdserver/jdserver.toml)'",
        );
        check_line(
            "fish",
            r"complete -c jdserver -s l -l log -r -F -d 'the server\'s own log (standard error)'",
        );
        check_line(
            "fish",
            "complete -c jdserver -s t -l test -d 'check the settings and exit'",
        );
    }

    #[test]
    fn another_shell_is_an_error() {
        assert_eq!(
            script("k\x1bsh"),
            Err(
                "--completions k\\x1bsh: expected bash or zsh or fish, e.g. --completions bash"
                    .to_owned()
            )
        );
    }
}
