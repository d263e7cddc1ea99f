//! `getApps`, `getSettings`, `logTail`, `statHistory`, the search of `getUsers`, and whose token opens them.

use std::fs;

use serde_json::{Value, json};

use crate::common::http::{Conn, ask, get};
use crate::common::server::Server;
use crate::common::wait_for;
use crate::common::websocket::Ws;
use crate::data;

#[test]
fn users_and_apps_are_found_by_patterns_and_bounded() {
    let server = Server::start();
    let mut open: Vec<Ws> = (0..12)
        .map(|n| Ws::user(&server, "shop", &format!("g{}/{n}", n % 2)))
        .collect();
    open.push(Ws::user(&server, "other", "x"));
    let users = |options: &str| data(&server, &format!("/getUsers?app=shop{options}"));
    assert_eq!(users("").as_array().map(Vec::len), Some(12));
    assert_eq!(users("&match=g1/*&limit=2"), json!(["g1/1", "g1/3"]));
    assert_eq!(users("&match=g0/4"), json!(["g0/4"]));
    assert_eq!(users("&match=none"), json!([]));
    let mut apps = data(&server, "/getApps");
    if let Some(apps) = apps.as_array_mut() {
        apps.sort_by_key(|app| app["app"].to_string());
    }
    assert_eq!(
        apps,
        json!([{"app": "other", "count": 1}, {"app": "shop", "count": 12}])
    );
    assert_eq!(
        data(&server, "/getApps?match=s*"),
        json!([{"app": "shop", "count": 12}])
    );
    assert_eq!(
        data(&server, "/getApps?limit=1").as_array().map(Vec::len),
        Some(1)
    );
    let long = "*".repeat(600);
    let refused = get(&server, &format!("/getApps?match={long}"));
    assert!(refused.contains("a pattern is longer than"), "{refused}");
}

#[test]
fn settings_are_listed_without_secrets() {
    let server = Server::configured("token = 'secret-text'\nmax_rate = 9");
    let listed = get(&server, "/getSettings?_token=secret-text&lang=zh-CN");
    assert!(!listed.contains("secret-text"), "{listed}");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let row = |name: &str| {
        let mut rows = listed[1].as_array().expect("rows").iter();
        rows.find(|row| row["name"] == name).expect(name).clone()
    };
    assert_eq!(row("token")["value"], "?");
    assert_eq!(
        (&row("max_rate")["value"], &row("max_rate")["origin"]),
        (&json!("9"), &json!("file"))
    );
    let doc = row("max_rate")["doc"].as_str().map(str::is_ascii);
    assert_eq!(doc, Some(false), "in Chinese");
}

#[test]
fn the_last_lines_are_told_without_secrets() {
    let server = Server::start();
    drop(Ws::user(&server, "tail", "first"));
    get(&server, "/push?app=tail&user=%5B&_token=abc");
    get(&server, "/conf?conf_dbpass=hunter2");
    let lines = |options: &str| -> Vec<String> {
        let told = data(&server, &format!("/logTail?{options}"));
        let lines = told["lines"].as_array().expect("lines").iter();
        lines
            .map(|line| line[2].as_str().expect("text").to_owned())
            .collect()
    };
    wait_for("the end of a user in the log", || {
        (lines("match=DEL+user").len() == 1).then_some(())
    });
    let all = lines("");
    assert!(
        all.iter().any(|line| line.ends_with("conf: conf_dbpass=?")),
        "{all:#?}"
    );
    let text = get(&server, "/logTail");
    assert!(!text.contains("hunter2") && !text.contains("abc"), "{text}");
    assert_eq!(lines("limit=1"), all[all.len() - 1..]);
    assert!(
        lines("file=trace")
            .iter()
            .all(|line| line.contains("fail to call"))
    );
    let last = data(&server, "/logTail")["last"].clone();
    assert_eq!(lines(&format!("after={last}")), [""; 0]);
    assert!(get(&server, "/logTail?file=x").starts_with("[1,"));
}

#[test]
fn secrets_stay_out_of_the_files_too() {
    let server = Server::setup().argument("-l").argument("own.log").start();
    get(&server, "/conf?conf_dbpass=hunter2");
    server.line_in("own.log", |line| line.ends_with("conf_dbpass=?"));
    let text = fs::read_to_string(server.folder().join("own.log")).expect("the log");
    assert!(!text.contains("hunter2"));
}

#[test]
fn the_last_hour_begins_empty() {
    let server = Server::start();
    let told = data(&server, "/statHistory");
    assert_eq!(
        (&told["interval"], &told["d"], &told["h"][0]),
        (&json!(10), &json!([]), &json!("t"))
    );
}

#[test]
fn the_admin_token_opens_what_the_token_does_not() {
    let server = Server::configured("token = 'user'\nadmin_token = 'admin'");
    let asked = |target: &str, token: &str| {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let answer = ask(&server, "GET", target, &bearer, "");
        (answer.status, answer.text().starts_with("[0,"))
    };
    for target in [
        "/conf?conf_x=1",
        "/reload",
        "/getSettings",
        "/getApps",
        "/logTail",
    ] {
        assert_eq!(asked(target, "admin"), (200, true), "{target}");
        assert_eq!(asked(target, "user"), (200, false), "{target}");
        assert_eq!(asked(target, "other"), (401, false), "{target}");
    }
    assert_eq!(
        asked("/logTail", "user"),
        (200, false),
        "not remembered from the admin"
    );
    assert_eq!(asked("/stat", "user"), (200, true));
    assert_eq!(asked("/stat", "admin"), (200, true));
    let batch = r#"[{"ac":"stat"},{"ac":"reload"}]"#;
    let headers = "Authorization: Bearer user\r\nContent-Type: application/json\r\n";
    let answer = ask(&server, "POST", "/batch", headers, batch).text();
    assert!(
        answer.ends_with("[2,\"未登录\",\"admin token required\"]]]\n"),
        "{answer}"
    );
    // One connection, two tokens.
    let mut conn = Conn::open(&server);
    for (token, opens) in [("admin", true), ("user", false), ("admin", true)] {
        let answer = conn.ask(format!(
            "GET /logTail HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        assert_eq!(answer.text().starts_with("[0,"), opens, "{token}");
    }
}

#[test]
fn its_own_pages_may_ask_whatever_origins_are_allowed() {
    let server = Server::configured("allow_origin = 'https://www.example.com'");
    let own = format!("127.0.0.1:{}", server.port());
    let status = |host: &str, origin: &str| {
        let mut conn = Conn::open(&server);
        let request = format!("GET /stat HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n");
        conn.ask(request).status
    };
    assert_eq!(status(&own, &format!("http://{own}")), 200);
    assert_eq!(status(&own, "https://www.example.com"), 200);
    assert_eq!(status(&own, "https://evil.example"), 403);
    assert_eq!(
        status("evil.example", "http://evil.example"),
        403,
        "a name that was turned to us"
    );
    let origin = format!("Origin: http://{own}\r\n");
    let upgraded = |headers: &str| Ws::upgrade(Conn::open(&server), "/", headers).is_ok();
    assert!(!upgraded(&origin), "another host was asked for");
    assert!(!upgraded("Origin: https://evil.example\r\n"));
    assert!(upgraded("Origin: https://www.example.com\r\n"));
}
