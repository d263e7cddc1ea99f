//! The logs of the real binary: rotation, a full disk, and what is never in them.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::http::{Conn, ask, get, push, wait_users};
use common::server::Server;
use common::wait_for;
use common::websocket::Ws;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A call that fails and is logged with its name, as long as that may be.
fn fail(server: &Server, name: &str) {
    assert!(get(server, &format!("/{name}")).starts_with("[1,"));
}

#[test]
fn files_rotate_by_their_size_which_changes_at_run_time() {
    let server = Server::configured("maxLogFileSize = 2000\n");
    let trace = server.folder().join("trace.log");
    let moved = server.folder().join("trace.log.1");
    let name = "x".repeat(100);
    for n in 0..30 {
        fail(&server, &format!("{name}{n}"));
        // What is written at once stays together, however much it is.
        server.line_in("trace.log", |line| line.contains(&format!("{name}{n}`")));
    }
    let sizes = [&trace, &moved].map(|path| fs::metadata(path).expect("there").len());
    assert!(
        sizes[0] <= 2_000 && (1_000..=2_000).contains(&sizes[1]),
        "{sizes:?}"
    );
    assert!(!server.folder().join("trace.log.2").exists());
    get(&server, "/conf?conf_maxLogFileSize=0");
    for n in 30..60 {
        fail(&server, &format!("{name}{n}"));
    }
    wait_for("a file beyond the old bound", || {
        (fs::metadata(&trace).expect("there").len() > 4_000).then_some(())
    });
}

#[test]
fn logs_that_cannot_be_written_do_not_stop_the_service() {
    let setup = Server::setup().settings("log_file = 'own.log'\n");
    // A device that is always full.
    for name in ["own.log", "trace.log"] {
        std::os::unix::fs::symlink("/dev/full", setup.folder().join(name)).expect("linked");
    }
    let mut server = setup.start();
    serves(&server);
    // The own log cannot say it.
    server.line(|line| line.contains("own.log: No space left on device"));
    server.signal("TERM");
    assert!(server.ended().success());
}

/// A small file system of its own, where the user may make one; gone with its owner.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(at)
            .output();
        made.is_ok_and(|output| output.status.success())
            .then(|| Disk(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_disk_that_fills_and_has_room_again() {
    let setup = Server::setup();
    let folder = setup.folder().to_owned();
    let Some(_disk) = Disk::mount(&folder) else {
        eprintln!("skipped: only root may make a small disk");
        return;
    };
    let server = setup.start();
    let name = "x".repeat(100);
    // Far more than there is room for.
    for n in 0..400 {
        fail(&server, &format!("{name}{n}"));
    }
    server.line(|line| line.contains("trace.log: No space left on device"));
    serves(&server);
    // A timer that cannot be kept is refused; one that need not be kept is taken.
    let periodic = "url=http://127.0.0.1:1/&cron=0+0+1+1+*";
    let answer = ask(&server, "POST", "/setTimeout", FORM, periodic).text();
    assert!(answer.starts_with("[4,"), "{answer}");
    let once = ask(
        &server,
        "POST",
        "/setTimeout",
        FORM,
        "url=http://127.0.0.1:1/&wait=3600000",
    );
    assert_eq!(once.text(), "[0,-1]\n");
    fs::remove_file(folder.join("trace.log")).expect("removed");
    server.signal("HUP");
    server.line(|line| line.ends_with("reload: done"));
    fail(&server, "again");
    server.line(|line| {
        line.contains("trace.log is written again, ") && line.ends_with(" lines are lost")
    });
    let kept = ask(&server, "POST", "/setTimeout", FORM, periodic).text();
    assert!(kept.starts_with("[0,"), "{kept}");
}

/// Calls, WebSockets and pushes are as ever.
#[track_caller]
fn serves(server: &Server) {
    let mut ws = Ws::user(server, "a", "1");
    fail(server, "noSuchCall");
    assert_eq!(push(server, "a", "1", "hi"), 1);
    assert_eq!(ws.text(), "hi");
    drop(ws);
    wait_users(server, "a", "[]");
}

#[test]
fn secrets_are_in_no_log() {
    const SECRETS: [&str; 7] = [
        "s3cret-token",
        "s3cret-query",
        "s3cret-bearer",
        "s3cret-header",
        "s3cret-sign",
        "s3cret-cred",
        "s3cret-text",
    ];
    let server = Server::setup()
        .settings("token = 's3cret-token'\nlog_file = 'own.log'\njdserver_log_ws = true\n")
        .start();
    let authorized = "Authorization: Bearer s3cret-token\r\n";
    // Wrong and right ones, in each place that takes them.
    assert_eq!(
        ask(&server, "GET", "/nothing?_token=s3cret-query", "", "").status,
        401
    );
    assert_eq!(
        ask(
            &server,
            "GET",
            "/nothing",
            "Authorization: Bearer s3cret-bearer\r\n",
            ""
        )
        .status,
        401
    );
    let headers = format!("{authorized}{FORM}");
    for (target, body) in [
        ("/nothing?_token=s3cret-token&a=1", ""),
        ("/push?app=a", "_token=s3cret-token&user=*"),
        (
            "/conf?conf_P_DBCRED=s3cret-cred&conf_token=s3cret-text&conf_maxLogFileSize=x",
            "",
        ),
        ("/conf?conf_P_DBCRED=s3cret-cred", ""),
        (
            "/setTimeout",
            "url=http://u:s3cret-text@127.0.0.1:1/?_token=s3cret-query&headers[]=Authorization:+Bearer+s3cret-header&sign=s3cret-sign",
        ),
        (
            "/setTimeout",
            "url=http://127.0.0.1:1/?token=s3cret-query&sign=s3cret-sign&wait=1",
        ),
        (
            "/setTimeout",
            "url=http://127.0.0.1:1/&data[password]=s3cret-text&cron=x&code=app-x-1",
        ),
    ] {
        ask(&server, "POST", target, &headers, body);
    }
    let mut ws = Ws::open_at(&server, "/?_token=s3cret-token", "");
    ws.init("a", "1");
    ws.send_text(r#"{"ac":"push","app":"a","user":"1","msg":{"token":"s3cret-text","n":1}}"#);
    ws.text();
    ws.send_text(r#"{"ac":"alive","_token":"s3cret-token"}"#);
    fs::write(
        server.folder().join("jdserver.toml"),
        "token = 's3cret-text'\nlog_file = 'own.log'\njdserver_log_ws = true\n",
    )
    .expect("written");
    server.signal("HUP");
    server.line_in("own.log", |line| line.ends_with("reload: token: ? -> ?"));
    server.line_in("own.log", |line| {
        line.contains("recv from 1") && line.contains("alive")
    });
    server.line_in("trace.log", |line| {
        line.contains("timer-2") && line.contains("fails")
    });
    let mut conn = Conn::open(&server);
    let tail = conn.ask("GET /logTail?_token=s3cret-text HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(tail.text().starts_with("[0,"), "{}", tail.text());
    let logs = ["own.log", "trace.log", "slow.log", "debug.log"];
    let texts = logs.map(|name| fs::read_to_string(server.folder().join(name)).unwrap_or_default());
    for secret in SECRETS {
        for text in texts.iter().chain([&tail.text()]) {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert!(texts[1].contains("_token=?"), "{}", texts[1]);
}
