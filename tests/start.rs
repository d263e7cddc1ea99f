//! The command line and the settings file: what a start says and answers with. Never a request
//! but the first one.

mod common;

use std::fs;
use std::net::{Ipv6Addr, TcpStream};
use std::process::{Command, Output, Stdio};

use common::http::{Conn, get, push};
use common::server::Server;
use common::websocket::Ws;
use socket2::Socket;

/// Runs the binary to its end, which it must reach by itself.
#[track_caller]
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jdserver"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir(std::env::temp_dir());
    command.output().expect("the binary starts")
}

/// A settings file of its own with this text.
fn settings(name: &str, text: &str) -> String {
    let path =
        std::env::temp_dir().join(format!("jdserver-test-{}-{name}.toml", std::process::id()));
    fs::write(&path, text).expect("settings");
    path.to_str().expect("UTF-8").to_owned()
}

/// A start that fails with one line that holds all of `words`.
#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    assert!(
        said.starts_with("jdserver: ") && said.trim_end().lines().count() == 1,
        "{said}"
    );
    for word in words {
        assert!(said.contains(word), "{word:?} in {said}");
    }
}

#[test]
fn help_and_version() {
    for option in ["-h", "--help"] {
        let output = run(&[option]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{option}");
        for word in [
            "-p", "-a", "-c", "-d", "-l", "-t", "-h", "-V", "--unix", "--echo", "8081",
        ] {
            assert!(said.contains(word), "{word} in {said}");
        }
    }
    for option in ["-V", "--version"] {
        let output = run(&[option]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{option}");
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    refused(
        &["-p", "80a"],
        &["-p 80a: expected a port, 1 to 65535, e.g. -p 8081"],
    );
    refused(&["-p", "65536"], &["65536"]);
    refused(&["-p"], &["p"]);
    refused(&["--no-such"], &["no-such"]);
    refused(&["surplus"], &["surplus"]);
    refused(
        &["-c", "/nonexistent/jdserver.toml"],
        &["/nonexistent/jdserver.toml"],
    );
    refused(
        &["-p", "0", "-d", "/nonexistent/folder"],
        &["/nonexistent/folder"],
    );
}

#[test]
fn settings_are_checked() {
    let good = settings("good", "max_rate = 100\nconf_max_body = \"4M\"\n");
    for option in ["-t", "--test"] {
        let output = run(&[option, "-c", &good]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    for (name, text, words) in [
        (
            "unknown",
            "port = 8081\nmax_rat = 1\n",
            &["max_rat", "2"][..],
        ),
        ("value", "max_rate = \"many\"\n", &["max_rate", "many"]),
        ("type", "max_rate = [1]\n", &["max_rate"]),
        ("range", "port = 65536\n", &["port", "65536"]),
        ("toml", "port = \n", &["1"]),
    ] {
        let path = settings(name, text);
        for arguments in [&["-t", "-c", &path][..], &["-c", &path]] {
            refused(arguments, &[&[path.as_str()], words].concat());
        }
        fs::remove_file(path).expect("own file");
    }
    fs::remove_file(good).expect("own file");
}

#[test]
fn a_port_in_use_is_said() {
    let server = Server::start();
    let port = server.port().to_string();
    refused(&["-p", &port], &[&port]);
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
}

#[test]
fn a_data_folder_has_one_daemon() {
    let server = Server::start();
    let folder = server.folder().to_str().expect("UTF-8").to_owned();
    let output = run(&["-p", "0", "-d", &folder]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    for words in [
        &format!("jdserver: data_dir: {folder} is in use by another jdserver"),
        "-d OTHER",
        "waiting up to 5 s",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    // Settings may be checked meanwhile.
    assert!(run(&["-t", "-d", &folder]).status.success());
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
    // Killed, it has left the folder as well.
    let server = server.stopped("KILL").start();
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
}

#[test]
fn a_daemon_that_is_ending_is_waited_for() {
    let server = Server::start();
    let twin = server.twin();
    // Whichever of the two comes first: the new one is there, the old one gone.
    let starts = std::thread::spawn(move || twin.start());
    let _setup = server.stopped("TERM");
    let next = starts.join().expect("it started");
    assert_eq!(get(&next, "/getUsers?app=a"), "[0,[]]\n");
}

#[test]
fn all_interfaces_without_a_token_are_warned_of() {
    let server = Server::setup().argument("-a").start();
    server.line(|line| line.contains("token"));
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
}

#[test]
fn several_listeners() {
    let server = Server::setup()
        .argument("--listen")
        .argument("[::1]:0")
        .start();
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
    let line = server.line(|line| line.starts_with("jdserver: serving on http://[::1]:"));
    let port = line
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let stream = TcpStream::connect((Ipv6Addr::LOCALHOST, port.expect("a port"))).expect("connect");
    let answer =
        Conn::from(Socket::from(stream)).ask("GET /getUsers?app=a HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(answer.text(), "[0,[]]\n");
}

/// Whether `<` in a pushed text is escaped, which the setting `htmlEscape` says.
#[track_caller]
fn escapes(server: &Server, receiver: &mut Ws) -> bool {
    assert_eq!(push(server, "escape", "u", "%3C"), 1);
    match receiver.text().as_str() {
        "&lt;" => true,
        "<" => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_beside_are_found() {
    let server = Server::setup().settings("htmlEscape = false\n").start();
    let mut ws = Ws::user(&server, "escape", "u");
    assert!(!escapes(&server, &mut ws));
}

#[test]
fn reload_reads_the_file_again_and_loses_no_connection() {
    let server = Server::configured("max_body = \"1M\"\n");
    let mut ws = Ws::user(&server, "escape", "u");
    let mut check = |text: &str, done: bool, escaped: bool| {
        fs::write(server.folder().join("jdserver.toml"), text).expect("settings");
        let answer = get(&server, "/reload");
        assert_eq!(answer == "[0,true]\n", done, "{answer}");
        assert_eq!(escapes(&server, &mut ws), escaped, "{text}");
    };
    check("max_body = \"1M\"\n", true, true);
    check("max_body = \"1M\"\nhtmlEscape = false\n", true, false);
    // What is no longer in the file has its default again; a broken file changes nothing.
    check("max_body = \"1M\"\n", true, true);
    check("htmlEscape = false\nno_such = 1\n", false, true);
    check("htmlEscape = false\n", true, false);
    check("", true, true);
    // What was set at run time and is not in the file stays.
    assert_eq!(
        get(&server, "/conf?conf_htmlEscape=0"),
        "[0,{\"conf_htmlEscape\":\"0\"}]\n"
    );
    check("max_rate = 1000\n", true, false);
}
