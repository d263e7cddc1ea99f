//! The console in Chromium, against the real binary: what a new user tries, what an administrator does, and that it
//! comes back by itself.

use serde_json::{Value, json};

use crate::common::http::{get, push};
use crate::common::server::Server;
use crate::common::wait_for;
use crate::common::websocket::Ws;
use crate::data;
use crate::sink::Sink;
use crate::webdriver::Browser;

fn url(server: &Server, rest: &str) -> String {
    format!("http://127.0.0.1:{}/{rest}", server.port())
}

/// Opens the console and waits until it is told what happens.
#[track_caller]
fn open(browser: &Browser, server: &Server) {
    browser.open(&url(server, "#app=app1&user=me"));
    browser.shows("#live", "live");
    browser.shows("#state", "connected · app1 · me");
}

#[track_caller]
fn check_quiet(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0], "the page's console");
}

#[test]
fn a_new_user_connects_and_pushes() {
    let Some(browser) = Browser::start("en") else {
        return;
    };
    let server = Server::start();
    open(&browser, &server);
    browser.click("#sendForm button.main");
    browser.shows("#list", "hello");
    browser.shows("#result", "1 took it");
    browser.click("#sendWs");
    browser.shows("#result", "WebSocket: 1 took it");
    // What comes from elsewhere is text, whatever it looks like.
    let evil = r#"{"ac":"push","app":"app1","user":"me","msg":"<img src=x onerror=alert(1)>"}"#;
    let mut other = Ws::user(&server, "app1", "<b>bold</b>");
    other.send_text(evil);
    browser.shows("#list", "<img src=x onerror=alert(1)>");
    browser.shows("#users", "<b>bold</b>");
    assert_eq!(
        browser.script("return document.querySelectorAll('#list img, #users b').length"),
        0
    );
    assert_eq!(push(&server, "app1", "me", "by+curl"), 1);
    browser.shows("#list", "by curl");

    browser.click("#tabUsers");
    browser.shows("#appRows", "app1");
    browser.shows("#userNames", "<b>bold</b>");
    browser.fill("#findUser", "bold");
    wait_for("one user", || {
        (browser.script("return document.getElementById('userNames').childElementCount") == 1)
            .then_some(())
    });
    browser.fill("#pushMsg", "to all of them");
    browser.click("#pushForm button.main");
    browser.shows("#pushResult", "2 took it");
    drop(other);
    browser.shows("#moves", "app1 / <b>bold</b>");
    check_quiet(&browser);
}

#[test]
fn an_administrator_sets_timers_reads_logs_and_changes_settings() {
    let Some(browser) = Browser::start("en") else {
        return;
    };
    let (server, sink) = (Server::configured("max_rate = 9"), Sink::start());
    open(&browser, &server);

    browser.click("#tabTimers");
    browser.click("#addTimer");
    browser.shows("#cronPreview", "At 09:00 on Monday to Friday");
    browser.fill("#timerCron", "61 * * * *");
    browser.shows("#cronPreview", "minute");
    browser.fill("#timerUrl", &format!("{}/tick", sink.url));
    browser.fill("#timerKind", "every so often");
    browser.fill("#timerSeconds", "0.5");
    browser.fill("#timerCode", "app-tick-1");
    browser.click("#timerSave");
    browser.shows("#timerRows", "app-tick-1");
    assert!(sink.take(2, crate::common::WAIT).len() >= 2, "it fires");
    browser.shows("#timerRows .status", "200 · ");
    browser.click("#timerRows td.actions button:nth-child(2)");
    browser.shows("#timerRows", "paused");
    assert_eq!(
        data(&server, "/Timer.get?code=app-tick-1")["disabled"],
        true
    );
    browser.click("#timerRows button.name");
    browser.shows("#timerRows .detail", "sink-ok");
    browser.click("#timerRows td.actions button:nth-child(3)");
    browser.fill("#timerKind", "by a crontab line");
    browser.fill("#timerCron", "0 12 1 1 *");
    browser.click("#timerSave");
    browser.shows("#timerRows", "At 12:00 on day 1 in January");
    browser.click("#timerRows td.actions button:nth-child(4)");
    browser.shows("#timerRows", "Delete it?");
    browser.click("#timerRows td.actions button:nth-child(4)");
    browser.shows("#timersNote", "No timers");

    browser.click("#tabLog");
    browser.shows("#lines", "app-tick-1 exec: httpCall(");
    get(&server, "/nosuch");
    browser.shows("#lines", "fail to call `nosuch`");
    browser.fill("#findLine", "NOSUCH");
    wait_for("other lines to go", || {
        let lines = browser.shows("#lines", "nosuch");
        (!lines.contains("httpCall")).then_some(())
    });
    browser.fill("#findLine", "reload");
    server.signal("HUP");
    browser.shows("#lines", "reload: done");
    browser.shows("#live", "live");

    browser.click("#tabSettings");
    browser.fill("#findSetting", "max_rate");
    browser.shows("#settingRows", "WebSocket messages per second");
    browser.fill("#settingRows input", "500");
    browser.click("#settingRows form button");
    browser.shows("#settingsNote", "max_rate = 500");
    let settings = data(&server, "/getSettings");
    let mut rows = settings.as_array().expect("rows").iter();
    assert!(rows.any(|row| row["name"] == "max_rate" && row["value"] == "500"));

    browser.click("#tabNumbers");
    browser.shows("#stat", "messages delivered");
    browser.shows("#charts", "Connections");
    check_quiet(&browser);
}

#[test]
fn it_comes_back_when_the_daemon_does() {
    let Some(browser) = Browser::start("en") else {
        return;
    };
    let server = Server::start();
    open(&browser, &server);
    check_quiet(&browser);
    let port = server.port();
    let stopped = server.stopped("TERM");
    browser.shows("#live", "again in");
    let server = stopped.port(port).start();
    browser.shows("#live", "live");
    browser.shows("#state", "connected · app1 · me");
    assert_eq!(push(&server, "app1", "me", "still+here"), 1);
    browser.shows("#list", "still here");
    // What could not be reached meanwhile, and nothing else.
    for complaint in browser.complaints() {
        let is_expected = complaint.contains("ERR_CONNECTION_REFUSED")
            || complaint.contains("WebSocket connection");
        assert!(is_expected, "{complaint}");
    }
}

#[test]
fn the_token_is_asked_for_once() {
    let Some(browser) = Browser::start("en") else {
        return;
    };
    // Behind a prefix, which its own addresses must not lose.
    let server = Server::configured("token = 'user'\nadmin_token = 'admin'\nbase_path = '/jd'");
    browser.open(&url(&server, "jd"));
    browser.shows("#tokenbar", "asks for a token");
    browser.fill("#token", "wrong");
    browser.click("#tokenbar button.main");
    browser.shows("#tokenbar", "refused this token");
    browser.fill("#token", "user");
    browser.click("#tokenbar button.main");
    // It opens what users may do, not the console.
    browser.shows("#state", "connected · app1");
    browser.shows("#tokenbar", "needs the admin token");
    browser.fill("#token", "admin");
    browser.click("#tokenbar button.main");
    browser.shows("#live", "live");
    browser.open(&url(&server, "jd/#panel=Settings"));
    browser.shows("#live", "live");
    browser.click("#tabSettings");
    browser.shows("#settingRows", "set, hidden");
}

#[test]
fn it_speaks_chinese_and_fits_a_phone() {
    let Some(browser) = Browser::start("zh-CN") else {
        return;
    };
    let server = Server::start();
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    browser.devtools("Emulation.setDeviceMetricsOverride", phone);
    browser.open(&url(&server, ""));
    browser.shows("#live", "实时");
    data(&server, "/conf?conf_x=1");
    for (tab, text) in [
        ("Try", "连接"),
        ("Users", "应用"),
        ("Timers", "新建定时器"),
        ("Log", "conf_x=1"),
        ("Settings", "监听"),
        ("Numbers", "最近一小时"),
    ] {
        browser.click(&format!("#tab{tab}"));
        browser.shows(&format!("#panel{tab}"), text);
        let width = browser.script("return document.documentElement.scrollWidth");
        assert_eq!(width, 360, "{tab} is wider than the phone");
    }
    browser.click("#lang");
    browser.shows("#live", "live");
    assert_eq!(browser.script("return document.documentElement.lang"), "en");
    check_quiet(&browser);
}

#[test]
fn crontab_lines_are_told_in_words() {
    let Some(browser) = Browser::start("en") else {
        return;
    };
    let server = Server::start();
    browser.open(&url(&server, ""));
    let words = |line: &str| -> Value {
        browser.promise(&format!(
            "import('./console/cron.js').then(m => m.inWords('{line}'))"
        ))
    };
    for (line, wanted) in [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("@hourly", "Every hour, on the hour"),
        (
            "0 9,18 * * mon-fri",
            "At 09:00 and 18:00 on Monday to Friday",
        ),
        ("*/15 8-18 * * *", "Every 15 minutes, from 08:00 to 18:59"),
        ("30 2 1,15 * *", "At 02:30 on day 1 and 15 of the month"),
        (
            "0 12 13 * fri",
            "At 12:00 on day 13 of the month or on Friday",
        ),
        ("0 0 29 feb *", "At 00:00 on day 29 in February"),
        ("0 0 * * 5-7", "At 00:00 on Friday to Sunday"),
        ("0 22-6/4 * * *", "At 02:00, 06:00 and 22:00 every day"),
        ("61 * * * *", ""),
        ("* * * *", ""),
    ] {
        assert_eq!(words(line), wanted, "{line}");
    }
}
