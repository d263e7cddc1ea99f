//! Socket activation: sockets that somebody else opened.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::common::http::Conn;
use crate::common::server::Folder;

const GET: &str = "GET /getUsers?app=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Starts the binary with sockets as descriptors 3 and 4, which are named so. A shell moves them there.
fn start(folder: &Folder, first: OwnedFd, second: OwnedFd, names: &str, settings: &str) -> Command {
    std::fs::write(folder.0.join("jdserver.toml"), settings).expect("written");
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("exec 3<&0 4<&1 0</dev/null 1>out; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\"")
        .arg(env!("CARGO_BIN_EXE_jdserver"))
        .env("LISTEN_FDNAMES", names)
        .current_dir(&folder.0)
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .stderr(Stdio::piped());
    command
}

#[test]
fn several_sockets_instead_of_our_own() {
    let folder = Folder::new();
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = tcp.local_addr().expect("bound").port();
    let path = folder.0.join("x.sock");
    let unix = UnixListener::bind(&path).expect("bound");
    // Before anybody accepts: the socket is there all the time.
    let mut early = Conn::open_port(port);
    early.send(GET);
    let mut command = start(&folder, tcp.into(), unix.into(), "http:local", "port = 1\n");
    let mut child = command.spawn().expect("sh starts");
    assert_eq!(early.answer().text(), "[0,[]]\n");
    assert_eq!(Conn::open_unix(&path).ask(GET).text(), "[0,[]]\n");
    child.kill().expect("own child");
    child.wait().expect("own child");
    let said = std::fs::read_to_string(folder.0.join("out")).expect("its words");
    assert_eq!(
        said,
        format!(
            "jdserver: serving on http://127.0.0.1:{port}/\njdserver: serving on unix:{}\n",
            path.display()
        )
    );
    assert!(path.exists(), "it is not ours to remove");
}

#[test]
fn what_is_no_listening_socket_ends_the_start() {
    let folder = Folder::new();
    let tcp = || TcpListener::bind("127.0.0.1:0").expect("bound");
    let file = std::fs::File::open("/dev/null").expect("open");
    let connected = std::net::TcpStream::connect(tcp().local_addr().expect("bound"));
    for (second, names, want) in [
        (OwnedFd::from(file), "a:b", "socket 1 (\"b\"): "),
        (
            OwnedFd::from(tcp()),
            "a:tls",
            "a socket named tls needs a certificate",
        ),
    ] {
        let output = start(&folder, tcp().into(), second, names, "").output();
        let said = String::from_utf8_lossy(&output.expect("sh starts").stderr).into_owned();
        assert!(
            said.starts_with("jdserver: LISTEN_FDS: ") && said.contains(want),
            "{said}"
        );
    }
    drop(connected);
}
