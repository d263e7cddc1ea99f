//! `--install-service` and `--remove-service` in a root folder of their own. Under a real systemd: `tests/systemd.sh`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::common::program::program;
use crate::common::server::Folder;
use crate::{is_root, may};

const BINARY: &str = env!("CARGO_BIN_EXE_jdserver");
const UNIT: &str = "etc/systemd/system/jdserver.service";

/// A machine with the binary, what that is linked to, a user, and a place for units.
fn machine() -> Folder {
    let folder = Folder::new();
    for name in ["proc", "etc/systemd/system", "usr/local/bin"] {
        fs::create_dir_all(folder.0.join(name)).expect("made");
    }
    fs::copy(BINARY, folder.0.join("usr/local/bin/jdserver")).expect("copied");
    fs::write(
        folder.0.join("etc/passwd"),
        "root:x:0:0::/:/\nweb:x:4711:4712::/:/\n",
    )
    .expect("written");
    fs::write(folder.0.join("etc/group"), "root:x:0:\nweb:x:4712:\n").expect("written");
    for library in libraries() {
        let path = folder.0.join(library.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::copy(&library, path).expect("copied");
    }
    folder
}

/// None for a binary that needs nothing.
fn libraries() -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(BINARY).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

/// Runs the binary with that folder as its root.
fn run(machine: &Folder, args: &[&str]) -> Output {
    let script =
        "mount --bind /proc \"$0/proc\" && exec chroot \"$0\" /usr/local/bin/jdserver \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(&machine.0)
        .args(args);
    command.output().expect("unshare runs")
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{output:?}");
    assert!(
        error.starts_with("jdserver: ") && error.contains(words),
        "{error}"
    );
}

#[test]
fn a_service_is_installed_and_removed() {
    let machine = machine();
    if !may("change its root folder", &machine.0) {
        return;
    }
    // Without useradd nobody can be made.
    refused(
        &run(&machine, &["--install-service"]),
        "another one by --user",
    );
    refused(
        &run(&machine, &["--install-service", "--user", "nobody"]),
        "there is no nobody",
    );
    assert!(!machine.0.join(UNIT).exists());
    let text = said(&run(
        &machine,
        &["--install-service", "--user", "web", "-p", "9000"],
    ));
    assert!(text.contains("systemctl enable --now jdserver"), "{text}");
    let unit = fs::read_to_string(machine.0.join(UNIT)).expect("written");
    assert!(unit.contains("\nUser=web\n"), "{unit}");
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/jdserver -c /etc/jdserver/jdserver.toml\n"),
        "{unit}"
    );
    let settings = machine.0.join("etc/jdserver/jdserver.toml");
    let owner = fs::metadata(&settings).expect("written");
    assert_eq!(
        (owner.uid(), owner.gid(), owner.mode() & 0o777),
        (0, 4_712, 0o640)
    );
    let data = fs::metadata(machine.0.join("var/lib/jdserver")).expect("made");
    assert_eq!((data.uid(), data.gid()), (4_711, 4_712));
    let report = said(&run(&machine, &["-t", "-c", "/etc/jdserver/jdserver.toml"]));
    assert!(
        report.contains("listen: 127.0.0.1:9000\ndata: /var/lib/jdserver\n"),
        "{report}"
    );
    judge(&unit);
    let text = said(&run(&machine, &["--remove-service"]));
    assert!(text.contains("left /var/lib/jdserver\n"), "{text}");
    assert!(!machine.0.join(UNIT).exists() && settings.exists());
    refused(
        &run(&machine, &["--remove-service"]),
        "there is no /etc/systemd/system/jdserver.service",
    );
    fs::write(machine.0.join(UNIT), "[Service]\n").expect("written");
    refused(&run(&machine, &["--remove-service"]), "not ours");
    refused(
        &run(&machine, &["--install-service", "--user", "web"]),
        "not ours",
    );
}

/// Settings that a daemon reads as root, and again as the user that it has become.
#[test]
fn a_user_that_root_becomes_may_read_the_settings() {
    let machine = machine();
    if !may("change its root folder", &machine.0) {
        return;
    }
    let init = |user| run(&machine, &["--init", "-d", "/srv/jd", "--user", user]);
    refused(&init("nobody"), "there is no nobody");
    assert!(!machine.0.join("srv").exists());
    said(&init("web"));
    let settings = machine.0.join("srv/jd/jdserver.toml");
    let owner = fs::metadata(&settings).expect("written");
    assert_eq!((owner.uid(), owner.gid()), (0, 4_712));
    let text = fs::read_to_string(settings).expect("written");
    assert!(text.contains("\nuser = \"web\"\n"), "{text}");
}

/// systemd's own opinion: nothing to complain of, and little left open.
fn judge(unit: &str) {
    let Some(analyze) = program("systemd-analyze") else {
        return;
    };
    let folder = Folder::new();
    let path = folder.0.join("jdserver.service");
    fs::write(&path, unit.replace("/usr/local/bin/jdserver", BINARY)).expect("written");
    let run = |args: &[&str]| {
        let output = Command::new(&analyze).args(args).arg(&path).output();
        output.expect("it runs")
    };
    let output = run(&["verify"]);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    // Of the machine's own units there may be some.
    let complaints: Vec<_> = complaints
        .lines()
        .filter(|line| line.contains("jdserver"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    // In tenths; most of what is left is the network.
    let output = run(&["security", "--offline=true", "--no-pager", "--threshold=20"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn nobody_but_root_may() {
    for option in ["--install-service", "--remove-service"] {
        let mut command = Command::new(BINARY);
        let folder = Folder::new();
        if is_root(&folder.0) {
            // Whoever else there is.
            std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        }
        let output = command.arg(option).current_dir("/").output();
        let Ok(output) = output else {
            // The build is in a folder of root's own.
            eprintln!("skipped: {BINARY} may not be run by others");
            return;
        };
        refused(&output, &format!("{option}: only root may"));
    }
}
