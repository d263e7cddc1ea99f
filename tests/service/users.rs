//! From root to another user, and the file with the process's number.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::{Command, Stdio};

use crate::common::http::get;
use crate::common::server::{Folder, Server};
use crate::common::wait_for;
use crate::{Started, is_root, jdserver, may};

/// What Debian and its kin have in any case.
const USER: &str = "nobody";

#[test]
fn root_becomes_the_user_for_good() {
    let folder = Folder::new();
    if !may("become somebody else", &folder.0) {
        return;
    }
    fs::write(
        folder.0.join("jdserver.toml"),
        format!("user = '{USER}'\npid_file = 'pid'\nlog_file = 'own.log'\nunix = 'x.sock'\n"),
    )
    .expect("written");
    // The folder is not that user's yet.
    let refused = jdserver(&folder.0).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.starts_with("jdserver: data_dir: .: Permission denied")
            && said.contains("expected after: chown -R nobody"),
        "{said}"
    );
    let uid = Command::new("id")
        .args(["-u", USER])
        .output()
        .expect("id runs");
    let uid: u32 = String::from_utf8_lossy(&uid.stdout)
        .trim()
        .parse()
        .expect("a number");
    chown(&folder.0, Some(uid), None).expect("changed");
    let (started, _) = Started::wait(&mut jdserver(&folder.0));
    let pid = started.0.id();
    assert_eq!(
        fs::read_to_string(folder.0.join("pid")).expect("there"),
        format!("{pid}\n")
    );
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(line("Uid:"), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    assert!(!line("Gid:").split('\t').any(|gid| gid == "0"), "{status}");
    assert!(
        !line("Groups:").split_whitespace().any(|gid| gid == "0"),
        "{status}"
    );
    assert!(line("CapEff:").ends_with("\t0000000000000000"), "{status}");
    // All threads, and what they write.
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs") {
        assert_eq!(
            thread.expect("a thread").metadata().expect("there").uid(),
            uid
        );
    }
    for name in ["own.log", "x.sock"] {
        let owner = fs::metadata(folder.0.join(name)).expect("there").uid();
        assert_eq!(owner, uid, "{name}");
    }
    started.signal("TERM");
    wait_for("the pid file to go", || {
        (!folder.0.join("pid").exists()).then_some(())
    });
}

#[test]
fn users_that_cannot_be() {
    let folder = Folder::new();
    for (user, root, other) in [
        (
            "no-such-user",
            "there is no no-such-user",
            "there is no no-such-user",
        ),
        (
            "nobody:no-such-group",
            "there is no group no-such-group",
            "there is no group",
        ),
        ("root", "", "only root may become root"),
    ] {
        let want = if is_root(&folder.0) { root } else { other };
        if want.is_empty() {
            continue;
        }
        fs::write(folder.0.join("jdserver.toml"), format!("user = '{user}'\n")).expect("written");
        let output = jdserver(&folder.0)
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.starts_with("jdserver: user: ") && said.contains(want),
            "{said}"
        );
    }
}

#[test]
fn the_pid_file_holds_the_number_while_it_runs() {
    let mut server = Server::configured("pid_file = 'run.pid'\n");
    let path = server.folder().join("run.pid");
    let pid: u32 = fs::read_to_string(&path)
        .expect("there")
        .trim()
        .parse()
        .expect("a number");
    assert!(
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .expect("it runs")
            .starts_with("jdserver")
    );
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
    server.signal("TERM");
    assert!(server.ended().success());
    assert!(!path.exists());
    // Nobody is led elsewhere.
    std::os::unix::fs::symlink("target", &path).expect("linked");
    let output = jdserver(server.folder()).output().expect("it starts");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("jdserver: pid_file: "));
    assert!(!server.folder().join("target").exists());
}
