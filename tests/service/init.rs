//! `--init`: an empty folder becomes one to start from.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::http::get;
#[cfg(feature = "lua")]
use crate::common::http::push;
use crate::common::server::{Folder, Server};
#[cfg(feature = "lua")]
use crate::common::websocket::Ws;

fn init(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jdserver"));
    let output = command
        .arg("--init")
        .args(args)
        .current_dir(folder)
        .output();
    output.expect("it starts")
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// In the folder, without a word of where.
#[test]
fn a_daemon_starts_from_what_it_wrote() {
    let setup = Server::setup();
    let folder = setup.folder().to_owned();
    let text = said(&init(&folder, &[]));
    assert!(text.contains("wrote ./jdserver.toml: "), "{text}");
    assert!(text.contains("\nnext:\n  jdserver -t\n"), "{text}");
    let settings = fs::read_to_string(folder.join("jdserver.toml")).expect("written");
    let check = Command::new(env!("CARGO_BIN_EXE_jdserver"))
        .arg("-t")
        .current_dir(&folder)
        .output()
        .expect("it starts");
    let report = said(&check);
    assert!(report.contains("settings: ./jdserver.toml\n"), "{report}");
    // Again: nothing changes.
    let text = said(&init(&folder, &["-p", "1"]));
    assert!(
        text.contains(
            "left ./jdserver.toml: it is there already, and what was given here is not set"
        ) && !text.contains("wrote "),
        "{text}"
    );
    let server = setup.settings(&settings).start();
    // The folder for files is empty: pages are still the binary's.
    assert!(get(&server, "/").contains("<title>"));
    assert!(
        get(&server, "/greet?name=x").starts_with("[1,"),
        "not switched on yet"
    );
}

#[test]
#[cfg(feature = "lua")]
fn the_example_plugin_does_what_it_says() {
    let setup = Server::setup();
    let folder = setup.folder().to_owned();
    said(&init(&folder, &[]));
    let plugins = folder.join("jdserver.d");
    fs::rename(
        plugins.join("10-example.lua.disabled"),
        plugins.join("10-example.lua"),
    )
    .expect("renamed");
    let settings = fs::read_to_string(folder.join("jdserver.toml")).expect("written");
    let server = setup
        .settings(&settings)
        .argument("-l")
        .argument("own.log")
        .start();
    assert_eq!(
        get(&server, "/greet?name=Ann&times=2"),
        "[0,\"hello Ann hello Ann \"]\n"
    );
    let mut ann = Ws::user(&server, "example", "ann");
    let mut bob = Ws::user(&server, "example", "bob");
    ann.send_text("{\"ac\":\"say\",\"text\":\"hi\"}");
    assert_eq!(bob.text(), "{\"from\":\"ann\",\"text\":\"hi\"}");
    assert_eq!(ann.text(), "{\"from\":\"ann\",\"text\":\"hi\"}");
    assert_eq!(ann.text(), "OK");
    assert_eq!(get(&server, "/Note.add?text=tea"), "[0,1]\n");
    assert_eq!(push(&server, "example", "b*", "x"), 1);
    server.line_in("trace.log", |line| line.ends_with("pushed to b*: x"));
}

#[test]
fn places_may_be_told_and_must_be_writable() {
    let folder = Folder::new();
    let text = said(&init(
        &folder.0,
        &["-c", "etc/jdserver.toml", "-d", "lib", "-p", "0"],
    ));
    assert!(
        text.contains("\n  jdserver -c ./etc/jdserver.toml\n"),
        "{text}"
    );
    let settings = fs::read_to_string(folder.0.join("etc/jdserver.toml")).expect("written");
    assert!(settings.contains("\nport = 0\n"));
    let lib = fs::canonicalize(folder.0.join("lib")).expect("made");
    let report = Command::new(env!("CARGO_BIN_EXE_jdserver"))
        .args(["-t", "-c", "etc/jdserver.toml"])
        .current_dir(&folder.0)
        .output();
    let report = said(&report.expect("it starts"));
    let data = report
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("told");
    assert_eq!(fs::canonicalize(data).expect("there"), lib);
    fs::write(folder.0.join("file"), "").expect("written");
    let output = init(&folder.0, &["-d", "file/x"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.starts_with("jdserver: ./file/x: "),
        "{error}"
    );
}
