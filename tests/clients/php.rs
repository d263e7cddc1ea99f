//! `jdserver.php`: every call, every way to fail, over TCP and over a Unix socket.

use std::process::Command;

use crate::common::program::program;
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::file;

const SAYS: &str = r#"users: ["u1"]
push: 1
text: 1
list: [1,0]
missing: error 1 缺少参数`msg` | "Bad Request - param `msg` is missing"
unknown: error 1 接口不支持 | "Bad request - unknown ac: nosuch"
broken text: error -2 jdserver: push: Malformed UTF-8 characters, possibly incorrectly encoded | null
id: true
get: {"a":[1,2]}
set: null
cron: "0 1 1 1 *"
del: null
gone: error 1 参数不正确 | "bad timer 1"
query: []
one-shot: true
batch: [[0,["u1"]],[1,"接口不支持","Bad request - unknown ac: nosuch"]]
token: error 2 未登录 | "token required"
nobody: error -2 jdserver: cannot connect to tcp://127.0.0.1:1 | "Connection refused"
refused
refused
refused
"#;

/// Runs the script with these arguments for PHP before it; `None`: there is no PHP.
#[track_caller]
fn says(flags: &[&str], url: &str) -> Option<String> {
    let mut command = Command::new(program("php")?);
    command
        .args(flags)
        .arg(file("tests/clients/check.php"))
        .arg(file("static/jdserver.php"));
    let output = command.args([url, "s3cret"]).output().expect("PHP runs");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[track_caller]
fn check(server: &Server, flags: &[&str], url: &str) {
    let mut ws = Ws::open_at(server, "/?_token=s3cret", "");
    ws.init("php", "u1");
    let Some(said) = says(flags, url) else {
        return;
    };
    assert_eq!(said, SAYS);
    assert_eq!(ws.text(), r#"{"id":1,"text":"你好 <b>","price":1.5}"#);
    assert_eq!((ws.text(), ws.text()), ("plain".to_owned(), "a".to_owned()));
    assert_eq!(ws.text().len(), 200_000, "nobody waited for that answer");
}

#[test]
fn by_tcp() {
    let server = Server::configured("token = \"s3cret\"\nbase_path = \"/below\"\n");
    check(
        &server,
        &[],
        &format!("http://127.0.0.1:{}/below", server.port()),
    );
}

#[test]
fn by_a_unix_socket() {
    let setup = Server::setup().settings("token = \"s3cret\"\n");
    let socket = setup.folder().join("s").display().to_string();
    let server = setup.argument("--unix").argument(&socket).start();
    check(&server, &[], &format!("unix:{socket}"));
}

#[cfg(feature = "tls")]
#[test]
fn by_tls() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let setup = Server::setup()
        .settings("token = \"s3cret\"\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'\n")
        .file("cert.pem", &pair.cert.pem())
        .file("key.pem", &pair.signing_key.serialize_pem());
    let server = setup.start();
    let url = format!("https://localhost:{}", server.port());
    let trust = format!(
        "openssl.cafile={}",
        server.folder().join("cert.pem").display()
    );
    check(&server, &["-d", &trust], &url);
    // Whoever is not trusted is told nothing, the token least of all.
    let stranger = "openssl.cafile=/dev/null";
    if let Some(said) = says(&["-d", stranger], &url) {
        assert!(
            said.is_empty() || said.starts_with("users: error -2 jdserver: cannot connect"),
            "{said}"
        );
    }
}
