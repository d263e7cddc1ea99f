//! Silence: proxies that cut it, pings that break it, and kept connections that end between two requests.

use crate::common::http::{get, push, wait_alone, wait_users};
use crate::common::server::Server;
use crate::common::websocket::Message;
use crate::front::Front;
use crate::{nginx, rules};

/// A proxy that cuts what is silent for two seconds.
#[track_caller]
fn check(front: &Front, server: &Server, silent: &Server, upgrade: &str, other: &Front) {
    // Without pings it cuts a WebSocket, and the next one is as good.
    let mut ws = other.websocket(upgrade, "");
    ws.init("idle", "u");
    assert_eq!(ws.message(), Message::End, "cut by the proxy");
    wait_users(silent, "idle", "[]");
    let mut ws = other.websocket(upgrade, "");
    ws.init("idle", "u");
    assert_eq!(push(silent, "idle", "u", "again"), 1);
    assert_eq!(ws.text(), "again");
    // With pings often enough it never sees silence: these take twice its patience.
    let mut ws = front.websocket(upgrade, "");
    ws.init("idle", "u");
    for _ in 0..4 {
        let Message::Ping(payload) = ws.message() else {
            panic!("a ping was due");
        };
        ws.send(crate::common::websocket::PONG, &payload);
    }
    assert_eq!(push(server, "idle", "u", "still"), 1);
    assert_eq!(ws.text(), "still");
}

const PINGS: &str = "ping_interval = 0.5\nping_timeout = 20\n";
const NO_PINGS: &str = "ping_interval = 0\n";

#[test]
fn nginx_cuts_silence() {
    let (server, silent) = (Server::configured(PINGS), Server::configured(NO_PINGS));
    let impatient =
        |server: &Server| Front::nginx(&nginx(server.port(), "proxy_read_timeout 2s;", false));
    let (Some(front), Some(other)) = (impatient(&server), impatient(&silent)) else {
        return;
    };
    check(&front, &server, &silent, "/jdserver/", &other);
}

#[test]
fn apache_cuts_silence() {
    let (server, silent) = (Server::configured(PINGS), Server::configured(NO_PINGS));
    let impatient = |server: &Server| Front::apache("Timeout 2", &rules(server.port()));
    let (Some(front), Some(other)) = (impatient(&server), impatient(&silent)) else {
        return;
    };
    check(&front, &server, &silent, "/jdserver", &other);
}

/// One connection carries many requests, and its end between two of them is no error to anybody.
#[track_caller]
fn kept(front: &Front, server: &Server) {
    let accepted = |text: String| {
        let (_, rest) = text.split_once("\"accept_count\":").expect("a counter");
        rest.split(',')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .expect("a number")
    };
    let before = accepted(get(server, "/stat"));
    for _ in 0..20 {
        assert_eq!(
            front.post("/jdserver/push", "app=k&user=u&msg=1"),
            "[0,0]\n"
        );
    }
    // What we ask ourselves is one of them.
    assert!(
        accepted(get(server, "/stat")) - before <= 3,
        "connections are kept"
    );
    for _ in 0..3 {
        // The daemon's patience is over first, as with a proxy that keeps connections for longer.
        assert_eq!(
            get(server, "/conf?conf_keepalive_timeout=0.05"),
            "[0,{\"conf_keepalive_timeout\":\"0.05\"}]\n"
        );
        wait_alone(server);
        get(server, "/conf?conf_keepalive_timeout=75");
        assert_eq!(
            front.post("/jdserver/push", "app=k&user=u&msg=1"),
            "[0,0]\n"
        );
    }
}

#[test]
fn nginx_keeps_connections() {
    let server = Server::start();
    let Some(front) = Front::nginx(&nginx(server.port(), "", true)) else {
        return;
    };
    kept(&front, &server);
    // A poller that is gone is gone here, too.
    let mut conn = front.connect();
    conn.send("GET /jdserver/getMsg?app=lp&user=u HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_users(&server, "lp", r#"["u"]"#);
    drop(conn);
    wait_users(&server, "lp", "[]");
}

#[test]
fn apache_keeps_connections() {
    let server = Server::start();
    let lines = format!(
        "ProxyPass /jdserver/ http://127.0.0.1:{}/ upgrade=websocket",
        server.port()
    );
    let Some(front) = Front::apache(&lines, "") else {
        return;
    };
    kept(&front, &server);
    let mut ws = front.websocket("/jdserver/", "");
    ws.init("a", "u");
    assert_eq!(push(&server, "a", "u", "hi"), 1);
    assert_eq!(ws.text(), "hi");
}
