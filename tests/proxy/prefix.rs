//! Proxies that keep the prefix of paths, and the setting `base_path`.

use crate::common::http::{ask, get, push};
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::front::Front;
use crate::nginx;

/// Through a proxy, or straight with a path as one would send it.
trait Asker {
    fn ask(&self, method: &str, target: &str) -> crate::common::http::Answer;
}

impl Asker for Front {
    fn ask(&self, method: &str, target: &str) -> crate::common::http::Answer {
        Front::ask(self, method, target, "", "")
    }
}

impl Asker for Server {
    fn ask(&self, method: &str, target: &str) -> crate::common::http::Answer {
        ask(self, method, target, "", "")
    }
}

#[track_caller]
fn check(asker: &impl Asker) {
    for (target, body) in [
        ("/jd/server/getUsers?app=a", "[0,[]]\n"),
        ("/jd/server?ac=getUsers&app=a", "[0,[]]\n"),
        ("/jd/server/?ac=getUsers&app=a", "[0,[]]\n"),
        ("/jd/server/getMsg?app=a&user=u&timeout=0.1", ""),
    ] {
        let answer = asker.ask("GET", target);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, body),
            "{target}"
        );
    }
    let page = asker.ask("GET", "/jd/server/");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    // Without the slash, links on a page would start one folder too high.
    let moved = asker.ask("GET", "/jd/server?x=1");
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("./server/?x=1"))
    );
    let object = asker.ask("GET", "/jd/server/Timer/7").text();
    assert!(object.starts_with("[1,"), "{object}");
}

fn server() -> Server {
    Server::configured("base_path = \"/jd/server\"\necho = true\n")
}

#[test]
fn a_path_below_the_base_is_served_as_without_it() {
    let server = server();
    check(&server);
    // Without the prefix all is as ever: local scripts need not know of it.
    assert_eq!(get(&server, "/getUsers?app=a"), "[0,[]]\n");
    for other in ["/jd/serverx/getUsers?app=a", "/jd/getUsers?app=a"] {
        assert!(
            get(&server, other).starts_with("[1,\"接口不支持\""),
            "{other}"
        );
    }
    let mut ws = Ws::open_at(&server, "/jd/server/echo", "");
    ws.send_text("echo");
    assert_eq!(ws.text(), "echo");
}

#[test]
fn a_reload_changes_the_base() {
    let server = Server::configured("base_path = \"/one\"\n");
    assert_eq!(get(&server, "/one/getUsers?app=a"), "[0,[]]\n");
    std::fs::write(
        server.folder().join("jdserver.toml"),
        "base_path = '/two/'\n",
    )
    .expect("settings");
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    assert_eq!(get(&server, "/two/getUsers?app=a"), "[0,[]]\n");
    assert!(get(&server, "/one/getUsers?app=a").starts_with("[1,"));
    assert_eq!(get(&server, "/conf?conf_base_path=/x"), "[0,[]]\n");
}

#[test]
fn behind_nginx_that_keeps_the_prefix() {
    let server = server();
    let lines = nginx(server.port(), "", false);
    let given = format!(
        "location /jdserver/ {{ \n    proxy_pass http://127.0.0.1:{}/;",
        server.port()
    );
    let kept = format!(
        "location /jd/server {{ proxy_pass http://127.0.0.1:{};",
        server.port()
    );
    assert!(lines.contains(&given), "{lines}");
    let lines = lines.replace(&given, &kept);
    let Some(front) = Front::nginx(&lines) else {
        return;
    };
    check(&front);
    let mut ws = front.websocket("/jd/server", "");
    ws.init("a", "u");
    assert_eq!(push(&server, "a", "u", "hi"), 1);
    assert_eq!(ws.text(), "hi");
}

#[test]
fn behind_apache_that_keeps_the_prefix() {
    let server = server();
    let lines = format!(
        "ProxyPass /jd/server http://127.0.0.1:{}/jd/server upgrade=websocket",
        server.port()
    );
    let Some(front) = Front::apache(&lines, "") else {
        return;
    };
    check(&front);
    let mut ws = front.websocket("/jd/server", "");
    ws.init("a", "u");
    assert_eq!(push(&server, "a", "u", "hi"), 1);
    assert_eq!(ws.text(), "hi");
}
