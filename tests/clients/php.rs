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

#[track_caller]
fn check(server: &Server, url: &str) {
    let Some(php) = program("php") else {
        return;
    };
    let mut ws = Ws::open_at(server, "/?_token=s3cret", "");
    ws.init("php", "u1");
    let mut command = Command::new(php);
    command
        .arg(file("tests/clients/check.php"))
        .arg(file("static/jdserver.php"));
    let output = command.args([url, "s3cret"]).output().expect("PHP runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, SAYS, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ws.text(), r#"{"id":1,"text":"你好 <b>","price":1.5}"#);
    assert_eq!((ws.text(), ws.text()), ("plain".to_owned(), "a".to_owned()));
    assert_eq!(ws.text().len(), 200_000, "nobody waited for that answer");
}

#[test]
fn by_tcp() {
    let server = Server::configured("token = \"s3cret\"\nbase_path = \"/below\"\n");
    check(
        &server,
        &format!("http://127.0.0.1:{}/below", server.port()),
    );
}

#[test]
fn by_a_unix_socket() {
    let setup = Server::setup().settings("token = \"s3cret\"\n");
    let socket = setup.folder().join("s").display().to_string();
    let server = setup.argument("--unix").argument(&socket).start();
    check(&server, &format!("unix:{socket}"));
}
