//! `/metrics`, judged by Prometheus' own tool, and `/healthz`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::http::{Conn, ask, get, push};
use crate::common::program::program;
use crate::common::server::Server;
use crate::common::websocket::Ws;

/// The value of a metric without labels.
#[track_caller]
fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn metrics_are_what_prometheus_expects() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let server = Server::start();
    let _user = Ws::user(&server, "a", "u");
    let text = get(&server, "/metrics");
    let mut tool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = tool.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("taken");
    drop(stdin);
    let said = tool.wait_with_output().expect("promtool ends");
    // It warns on the same output and with another status than 0.
    assert!(
        said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(),
        "{said:?}\n{text}"
    );
}

#[test]
fn metrics_count() {
    let server = Server::start();
    let before = get(&server, "/metrics");
    let mut user = Ws::user(&server, "a", "u");
    assert_eq!(push(&server, "a", "u", "hello"), 1);
    assert_eq!(user.text(), "hello");
    let after = get(&server, "/metrics");
    let grown = |name: &str| value(&after, name) - value(&before, name);
    assert_eq!(grown("jdserver_users"), 1.0);
    assert_eq!(grown("jdserver_apps"), 1.0);
    assert_eq!(grown("jdserver_messages_delivered_total"), 1.0);
    assert_eq!(grown("jdserver_websocket_upgrades_total"), 1.0);
    assert_eq!(grown("jdserver_websocket_messages_total"), 1.0);
    assert_eq!(grown("jdserver_requests_total"), 3.0);
    assert!(value(&after, "process_resident_memory_bytes") > 1_000_000.0);
    assert!(value(&after, "process_open_fds") > 5.0);
    assert!(after.contains(&format!(
        "jdserver_build_info{{version=\"{}\"}} 1\n",
        env!("CARGO_PKG_VERSION")
    )));
    assert!(after.contains("\njdserver_timer_lateness_seconds_bucket{le=\"+Inf\"} 0\n"));
}

#[test]
fn metrics_have_their_type_and_need_the_token() {
    let server = Server::configured("token = 'secret'");
    let refused = ask(&server, "GET", "/metrics", "", "");
    assert_eq!(refused.status, 401);
    let bearer = "Authorization: Bearer secret\r\n";
    let answer = ask(&server, "GET", "/metrics", bearer, "");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(answer.text().starts_with("# HELP jdserver_build_info "));
    let head = ask(&server, "HEAD", "/metrics", bearer, "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(ask(&server, "POST", "/metrics", bearer, "").status, 405);
}

#[test]
fn health_needs_no_token_and_tells_of_the_stop() {
    let mut server = Server::configured("token = 'secret'");
    let ok = ask(&server, "GET", "/healthz", "", "");
    assert_eq!((ok.status, ok.text().as_str()), (200, "ok\n"));
    assert_eq!(ask(&server, "HEAD", "/healthz", "", "").status, 200);
    assert_eq!(ask(&server, "POST", "/healthz", "", "").status, 405);
    // Only a request that was begun before is still heard.
    let mut conn = Conn::open(&server);
    let begun = "Host: h\r\nAuthorization: Bearer secret\r\nContent-Length: 2\r\n\r\na";
    conn.send(format!("GET /healthz HTTP/1.1\r\n{begun}"));
    server.signal("TERM");
    server.line(|line| line.contains("stopping"));
    conn.send("b");
    let stopping = conn.answer();
    assert_eq!(
        (stopping.status, stopping.text().as_str()),
        (503, "stopping\n")
    );
    drop(conn);
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let server = Server::start();
    let metrics = get(&server, "/metrics");
    let dashboard: Value = serde_json::from_str(&get(&server, "/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut asked = 0;
    for target in targets {
        let expression = target["expr"].as_str().expect("an expression");
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names = expression
            .split(|c| !is_name(c))
            .filter(|word| word.starts_with("jdserver_") || word.starts_with("process_"));
        for name in names {
            let name = name.trim_end_matches("_bucket");
            assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
}
