//! What the binary tells of itself, before the programs that read it: the manual page and what shells complete by.

mod common;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use common::program::program;

/// What `jdserver` answers to `args`.
#[track_caller]
fn told(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_jdserver"))
        .args(args)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What a program makes of `input`, if it is here.
#[track_caller]
fn given(name: &str, args: &[&str], input: &str) -> Option<Output> {
    let mut child = Command::new(program(name)?)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = input.to_owned();
    // A program may answer before it has read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("written");
    Some(output)
}

/// A program that finds nothing to say about `input`.
#[track_caller]
fn check_quiet(name: &str, args: &[&str], input: &str) {
    let Some(output) = given(name, args, input) else {
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{name}: {said}");
}

#[test]
fn the_manual_page_is_right_by_mandoc_and_groff() {
    let page = told(&["--man"]);
    check_quiet("mandoc", &["-T", "lint", "-W", "warning"], &page);
    check_quiet("groff", &["-man", "-ww", "-z", "-K", "utf8"], &page);
}

#[test]
fn the_manual_page_reads_well() {
    let page = told(&["--man"]);
    let args = ["-T", "ascii", "-O", "width=200"];
    let Some(output) = given("mandoc", &args, &page) else {
        return;
    };
    // Bold is a letter, a backspace and the letter again.
    let text: Vec<_> = String::from_utf8_lossy(&output.stdout).chars().collect();
    let shown: String = (0..text.len())
        .filter(|&at| text[at] != '\x08' && text.get(at + 1) != Some(&'\x08'))
        .map(|at| text[at])
        .collect();
    for line in [
        "       -c FILE, --config=FILE",
        "              Settings file (./jdserver.toml, else /etc/jdserver/jdserver.toml).",
        "       max_body (4194304)",
        "       curl 'localhost:8081/push?app=app1&user=*' -d msg=hello",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line} in {shown}"
        );
    }
}

/// What bash offers behind `words`, of which the last may be empty.
#[track_caller]
fn check_bash(script: &str, words: &[&str], want: &[&str]) {
    let Some(bash) = program("bash") else { return };
    let call = r#"source /dev/stdin
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        complete -p jdserver >/dev/null || exit
        _jdserver && printf '%s\n' "${COMPREPLY[@]}""#;
    let args = [&["--norc", "-c", call, "bash"], words].concat();
    let output = given(bash.to_str().expect("UTF-8"), &args, script).expect("bash is here");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    let offered: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(offered, want, "{words:?}");
}

#[test]
fn bash_completes() {
    let script = told(&["--completions", "bash"]);
    check_bash(&script, &["jdserver", "--da"], &["--data"]);
    check_bash(&script, &["jdserver", "-a", "--con"], &["--config"]);
    check_bash(&script, &["jdserver", "-p", ""], &[]);
    check_bash(
        &script,
        &["jdserver", "--completions", ""],
        &["bash", "zsh", "fish"],
    );
    check_bash(&script, &["jdserver", "-c", "Cargo.t"], &["Cargo.toml"]);
    check_bash(&script, &["jdserver", "-d", "stat"], &["static"]);
    check_bash(&script, &["jdserver", "--data", "=", "stat"], &["static"]);
    check_bash(&script, &["jdserver", "-d", "Cargo.t"], &[]);
    check_bash(&script, &["jdserver", "nothing"], &[]);
}

#[test]
fn zsh_reads_its_script() {
    let script = told(&["--completions", "zsh"]);
    check_quiet("zsh", &["-n"], &script);
}

#[test]
fn fish_completes() {
    let script = told(&["--completions", "fish"]);
    for (line, want) in [
        (
            "jdserver --da",
            "--data\tfolder of logs and timers (the working directory)\n",
        ),
        ("jdserver -l LICEN", "LICENSE\n"),
        ("jdserver -d stat", "static/\tDirectory\n"),
        (
            "jdserver --completions z",
            "zsh\tshow what bash, zsh or fish completes by, and exit\n",
        ),
        ("jdserver no", ""),
    ] {
        let call = format!("source -\ncomplete -C '{line}'");
        let Some(output) = given("fish", &["--no-config", "-c", &call], &script) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.as_ref() == want && output.stderr.is_empty(),
            "{line}: {output:?}"
        );
    }
}

#[test]
fn another_shell_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_jdserver"))
        .args(["--completions", "ksh"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "jdserver: --completions ksh: expected bash or zsh or fish, e.g. --completions bash\n"
    );
}
