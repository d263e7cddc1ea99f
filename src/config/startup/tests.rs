use super::*;
use crate::test_dir::TestDir;
use std::fs;

/// A working directory and an /etc/jdserver of their own.
fn dirs(name: &str) -> TestDir {
    let dir = TestDir::new(name);
    for folder in ["work", "etc"] {
        fs::create_dir(dir.0.join(folder)).expect("made");
    }
    dir
}

fn run(dir: &TestDir, args: &[&str]) -> Result<Command, String> {
    let (working_dir, etc_dir) = (&dir.0.join("work"), &dir.0.join("etc"));
    parse_in(
        args.iter().map(OsString::from),
        &Places {
            working_dir,
            etc_dir,
        },
    )
}

#[track_caller]
fn start(dir: &TestDir, args: &[&str]) -> Startup {
    match run(dir, args) {
        Ok(Command::Run(startup)) => *startup,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_listeners(dir: &TestDir, args: &[&str], want: &[&str]) {
    let listeners = start(dir, args).listeners;
    let work = dir.0.join("work").display().to_string();
    let shown: Vec<_> = listeners
        .iter()
        .map(|listen| listen.to_string().replace(&work, "WORK"))
        .collect();
    assert_eq!(shown, want, "{args:?}");
}

#[test]
fn an_empty_directory_is_enough() {
    let dir = dirs("config-empty");
    let startup = start(&dir, &[]);
    assert_eq!(startup.settings, Settings::default());
    assert_eq!(startup.listeners.len(), 1);
    assert_eq!(startup.data_dir, dir.0.join("work"));
    assert_eq!(
        (startup.log_file, startup.static_dir, startup.config_file),
        (None, None, None)
    );
    assert!(startup.warnings.is_empty());
}

#[test]
fn the_command_line_goes_before_the_file() {
    let dir = dirs("config-order");
    fs::write(
        dir.0.join("work/jdserver.toml"),
        "port = 1\necho = false\nmax_rate = 5\n",
    )
    .expect("written");
    fs::write(
        dir.0.join("etc/jdserver.toml"),
        "max_rate = 6\nworkers = 2\n",
    )
    .expect("written");
    fs::write(dir.0.join("work/other.toml"), "max_rate = 7\n").expect("written");
    let startup = start(&dir, &["-p", "2", "--echo"]);
    let settings = &startup.settings;
    assert_eq!(
        (
            settings.port,
            settings.echo,
            settings.max_rate,
            settings.workers
        ),
        (2, true, 5, 32)
    );
    assert_eq!(startup.config_file, Some(dir.0.join("work/jdserver.toml")));
    assert_eq!(start(&dir, &["-c", "other.toml"]).settings.max_rate, 7);
    fs::remove_file(dir.0.join("work/jdserver.toml")).expect("removed");
    let startup = start(&dir, &[]);
    assert_eq!(
        (startup.settings.max_rate, startup.settings.workers),
        (6, 2)
    );
}

#[test]
fn a_file_that_may_be_there_but_cannot_be_reached_is_an_error() {
    let dir = dirs("config-unreachable");
    fs::remove_dir(dir.0.join("etc")).expect("removed");
    assert!(start(&dir, &[]).config_file.is_none(), "no such folder");
    // Permission bits do not bind root; a link to itself binds all.
    std::os::unix::fs::symlink("etc", dir.0.join("etc")).expect("a link");
    let error = run(&dir, &[]).expect_err("unreachable");
    assert!(error.contains("etc/jdserver.toml"), "{error}");
    fs::write(dir.0.join("work/jdserver.toml"), "").expect("written");
    assert!(start(&dir, &[]).config_file.is_some(), "found before it");
}

#[test]
fn listeners_come_from_port_or_list() {
    let dir = dirs("config-listen");
    check_listeners(&dir, &[], &["127.0.0.1:8081"]);
    check_listeners(&dir, &["-a", "-p", "0"], &["0.0.0.0:0"]);
    check_listeners(
        &dir,
        &["--unix", "s.sock"],
        &["127.0.0.1:8081", "unix:WORK/s.sock"],
    );
    check_listeners(
        &dir,
        &["--listen", "[::1]:1", "--listen", "unix:/x"],
        &["[::1]:1", "unix:/x"],
    );
    check_listeners(
        &dir,
        &["-p", "2", "--listen", "[::1]:1"],
        &["127.0.0.1:2", "[::1]:1"],
    );
    fs::write(
        dir.0.join("work/jdserver.toml"),
        "port = 3\nlisten = ['[::1]:1']\nunix = 'u'\n",
    )
    .expect("written");
    check_listeners(&dir, &[], &["[::1]:1", "unix:WORK/u"]);
    check_listeners(&dir, &["-p", "2"], &["127.0.0.1:2", "unix:WORK/u"]);
    check_listeners(&dir, &["-a"], &["0.0.0.0:3", "unix:WORK/u"]);
    check_listeners(&dir, &["--listen", "*:9"], &["0.0.0.0:9", "unix:WORK/u"]);
}

#[test]
fn paths_in_the_file_are_beside_it() {
    let dir = dirs("config-paths");
    for folder in [
        "etc/static",
        "etc/data",
        "work/data",
        "work/static",
        "etc/pages",
    ] {
        fs::create_dir(dir.0.join(folder)).expect("made");
    }
    assert_eq!(start(&dir, &[]).static_dir, Some(dir.0.join("work/static")));
    fs::write(
        dir.0.join("etc/jdserver.toml"),
        "data_dir = 'data'\nlog_file = 'own.log'\n",
    )
    .expect("written");
    let startup = start(&dir, &[]);
    assert_eq!(startup.data_dir, dir.0.join("etc/data"));
    assert_eq!(startup.log_file, Some(dir.0.join("etc/own.log")));
    assert_eq!(startup.static_dir, Some(dir.0.join("etc/static")));
    let startup = start(&dir, &["-d", "data", "-l", "own.log"]);
    assert_eq!(startup.data_dir, dir.0.join("work/data"));
    assert_eq!(startup.log_file, Some(dir.0.join("work/own.log")));
    fs::write(dir.0.join("etc/jdserver.toml"), "static_dir = 'pages'\n").expect("written");
    assert_eq!(start(&dir, &[]).static_dir, Some(dir.0.join("etc/pages")));
}

#[track_caller]
fn check_error(dir: &TestDir, args: &[&str], want: &str) {
    let error = run(dir, args).map(|_| ()).expect_err("an error");
    assert_eq!(
        error.replace(&dir.0.display().to_string(), "DIR"),
        want,
        "{args:?}"
    );
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let dir = dirs("config-errors");
    check_error(
        &dir,
        &["-d", "no"],
        "data_dir: DIR/work/no is no folder; expected one that exists, e.g. after: mkdir -p DIR/work/no",
    );
    check_error(
        &dir,
        &["-l", "no/own.log"],
        "log_file: DIR/work/no is no folder; expected one that exists, e.g. after: mkdir -p DIR/work/no",
    );
    let missing = run(&dir, &["-c", "no.toml"])
        .map(|_| ())
        .expect_err("an error");
    assert!(missing.contains("no.toml: No such file"), "{missing}");
    fs::write(dir.0.join("work/jdserver.toml"), "\nprot = 1\n").expect("written");
    check_error(
        &dir,
        &[],
        "DIR/work/jdserver.toml:2: unknown setting `prot`: did you mean `port`?",
    );
    check_error(
        &dir,
        &["-t"],
        "DIR/work/jdserver.toml:2: unknown setting `prot`: did you mean `port`?",
    );
    check_error(
        &dir,
        &["-p", "80a"],
        "-p 80a: expected a port, 1 to 65535, e.g. -p 8081",
    );
    fs::write(dir.0.join("work/jdserver.toml"), "static_dir = 'no'\n").expect("written");
    check_error(
        &dir,
        &[],
        "static_dir: DIR/work/no is no folder; expected one that exists, e.g. after: mkdir -p DIR/work/no",
    );
    fs::remove_file(dir.0.join("work/jdserver.toml")).expect("removed");
    std::os::unix::fs::symlink("nowhere", dir.0.join("work/jdserver.toml")).expect("linked");
    assert!(
        run(&dir, &[]).is_err(),
        "a file that is there but cannot be read"
    );
}

#[test]
fn the_line_of_the_style_guide() {
    let error = parse(["-p", "80a"].map(OsString::from))
        .map(|_| ())
        .expect_err("an error");
    assert_eq!(
        error,
        "jdserver: -p 80a: expected a port, 1 to 65535, e.g. -p 8081"
    );
}

#[test]
fn an_open_server_without_a_token_is_warned_of_once() {
    let dir = dirs("config-warn");
    assert_eq!(start(&dir, &["-a", "--listen", "[::]:1"]).warnings.len(), 1);
    assert!(
        start(&dir, &["--listen", "127.0.0.2:1", "--unix", "/x"])
            .warnings
            .is_empty()
    );
    fs::write(dir.0.join("work/jdserver.toml"), "token = 's3cret'\n").expect("written");
    assert!(start(&dir, &["-a"]).warnings.is_empty());
}

#[test]
fn checking_reports_without_secrets() {
    let dir = dirs("config-check");
    fs::write(
        dir.0.join("work/jdserver.toml"),
        "token = 's3cret'\nmax_rate = 9\n",
    )
    .expect("written");
    let Ok(Command::Check(text)) = run(&dir, &["-t"]) else {
        panic!("no report");
    };
    for part in [
        "jdserver.toml\n",
        "listen: 127.0.0.1:8081\n",
        "max_rate = 9\n",
        "token = ?\n",
        "all settings are right\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("s3cret"));
    assert!(matches!(run(&dir, &["-V"]), Ok(Command::Version)));
    assert!(matches!(
        run(&dir, &["--help", "-p", "1"]),
        Ok(Command::Help(_))
    ));
}

#[test]
fn arguments_are_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let error = parse([OsString::from_vec(b"-d\xff".to_vec())])
        .map(|_| ())
        .expect_err("an error");
    assert!(error.ends_with(": expected UTF-8"), "{error}");
}
