//! What handlers of plugins do, and in which order: those of `shop/` and `order/` beside this file.

use std::time::Duration;

use crate::common::http::{Conn, ask, get, push};
use crate::common::server::Server;
use crate::common::websocket::{Ws, init};
use crate::shop;

/// A server with the plugins of `order/`.
#[track_caller]
fn order(settings: &str) -> Server {
    Server::setup()
        .settings(settings)
        .file("api.lua", include_str!("order/api.lua"))
        .start()
}

/// Lets handlers go on that wait for this.
#[track_caller]
fn open(server: &Server, gate: &str) {
    assert_eq!(get(server, &format!("/open?gate={gate}")), "[0,null]\n");
}

/// The next texts, which must be these.
#[track_caller]
fn check(ws: &mut Ws, texts: &[&str]) {
    for text in texts {
        assert_eq!(ws.text(), *text, "of {texts:?}");
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn what_a_handler_pushes_comes_before_the_answer() {
    let server = shop();
    let mut ann = Ws::open(&server);
    ann.send_text(&init("shop", "ann"));
    check(&mut ann, &["OK", "{\"welcome\":\"ann\"}"]);
    // The first one sleeps: the second waits for it.
    ann.send_text("{\"ac\":\"slow\",\"text\":\"1\"}");
    ann.send_text("{\"ac\":\"say\",\"text\":\"2\"}");
    check(
        &mut ann,
        &["{\"echo\":\"1\"}", "OK", "{\"echo\":\"2\"}", "OK"],
    );
    assert_eq!(push(&server, "shop", "ann", "hi"), 1);
    assert_eq!(ann.text(), "hi");
    server.line_in("trace.log", |line| line.ends_with("] pushed to ann: hi"));
}

#[test]
fn one_connections_messages_are_in_order_and_others_do_not_wait() {
    let server = order("");
    let (mut a, mut b) = (
        Ws::user(&server, "chat", "a"),
        Ws::user(&server, "chat", "b"),
    );
    // All in one piece, and the first of them waits.
    a.send_text("{\"n\":1,\"gate\":\"a\"}");
    for n in 2..=20 {
        a.send_text(&format!("{{\"n\":{n}}}"));
    }
    for n in 1..=20 {
        b.send_text(&format!("{{\"n\":{n}}}"));
        check(&mut b, &[&format!("handled {n}"), "and again", "OK"]);
    }
    // Another's push arrives though its own messages wait.
    assert_eq!(push(&server, "chat", "a", "meanwhile"), 1);
    check(&mut a, &["meanwhile"]);
    open(&server, "a");
    for n in 1..=20 {
        check(&mut a, &[&format!("handled {n}"), "and again", "OK"]);
    }
    a.quiet();
}

#[test]
fn a_push_answers_once_all_its_handlers_have_ended() {
    let server = order("");
    let mut slow = Ws::user(&server, "slow", "s");
    let mut sender = Conn::open(&server);
    sender.send("GET /push?app=slow&user=*&msg=hi HTTP/1.1\r\nHost: a\r\n\r\n");
    // After the delivery, which does not wait for them.
    check(&mut slow, &["hi"]);
    assert_eq!(get(&server, "/ended"), "[0,0]\n");
    assert!(!sender.readable_within(Duration::from_millis(5)));
    let mut web = Ws::user(&server, "other", "o");
    web.send_text("{\"ac\":\"push\",\"app\":\"slow\",\"user\":\"*\",\"msg\":\"ho\"}");
    check(&mut slow, &["ho"]);
    assert!(!web.conn.readable_within(Duration::from_millis(5)));
    open(&server, "slow");
    assert_eq!(sender.answer().text(), "[0,1]\n");
    check(&mut web, &["1"]);
    assert_eq!(get(&server, "/ended"), "[0,4]\n");
}

#[test]
fn a_push_answers_at_the_deadline_of_its_handlers() {
    let server = order("plugin_timeout = 0.03");
    let mut never = Ws::user(&server, "never", "n");
    assert_eq!(push(&server, "never", "*", "hi"), 1);
    check(&mut never, &["hi"]);
    server.line_in("trace.log", |line| {
        line.contains("push.never fails: plugin: no end within 30 ms (plugin_timeout)")
    });
    // A handler's failure is no failure of the push, nor of a message.
    let mut chat = Ws::user(&server, "chat", "c");
    chat.send_text("{\"gate\":\"never\"}");
    check(&mut chat, &["and again", "OK"]);
    chat.send_text("[]");
    check(&mut chat, &["handled nil", "and again", "OK"]);
}

#[test]
fn a_push_over_websocket_is_a_message_of_the_app_pushed_to() {
    let server = order("");
    let mut source = Ws::user(&server, "source", "s");
    let text = "{\"ac\":\"push\",\"app\":\"target\",\"user\":\"a,b\",\"msg\":{\"id\":1}}";
    source.send_text(text);
    let message = format!("message of s in target {text}");
    check(&mut source, &["push a,b {\"id\":1}", &message, "0"]);
    // One to its own app is a message of that, any other message too.
    source.send_text("{\"ac\":\"push\",\"app\":\"source\",\"user\":\"s\",\"msg\":\"me\"}");
    check(&mut source, &["me", "own push", "1"]);
    source.send_text("{\"ac\":\"alive\"}");
    check(&mut source, &["own alive", "OK"]);
    // One by HTTP is no message.
    assert_eq!(push(&server, "target", "a", "x"), 0);
    check(&mut source, &["push a x"]);
    source.quiet();
}

#[test]
fn handlers_get_receivers_as_given_and_the_message_as_sent() {
    let server = order("");
    let mut watch = Ws::user(&server, "watch", "w");
    let mut other = Ws::user(&server, "other", "o");
    for (user, msg, heard) in [
        ("\"a*,b\"", "\"text\"", "[\"a*,b\",\"text\"]"),
        (
            "[\"a,b\",\"c*\"]",
            "{\"id\":1}",
            "[[\"a,b\",\"c*\"],\"{\\\"id\\\":1}\"]",
        ),
        ("7", "8.5", "[\"7\",\"8.5\"]"),
    ] {
        let body = format!("{{\"app\":\"given\",\"user\":{user},\"msg\":{msg}}}");
        assert_eq!(ask(&server, "POST", "/push", JSON, &body).text(), "[0,0]\n");
        check(&mut watch, &[heard]);
        let body = body.replacen('{', "{\"ac\":\"push\",", 1);
        other.send_text(&body);
        check(&mut watch, &[heard]);
        check(&mut other, &["0"]);
    }
    // A list of pushes is one event for each, in order.
    let item = |n: u32| format!("{{\"app\":\"given\",\"user\":\"u\",\"msg\":{n}}}");
    let body = format!("[{},{}]", item(1), item(2));
    assert_eq!(
        ask(&server, "POST", "/push", JSON, &body).text(),
        "[0,[0,0]]\n"
    );
    check(&mut watch, &["[\"u\",\"1\"]", "[\"u\",\"2\"]"]);
}

#[test]
fn open_comes_after_init_and_close_at_every_end() {
    let server = order("");
    let mut watch = Ws::user(&server, "watch", "w");
    let text = init("life", "a");
    let mut a = Ws::open(&server);
    a.send_text(&text);
    check(&mut a, &["OK", "welcome"]);
    check(&mut watch, &[&format!("open a {text}")]);
    // The same again is no news; another name is an end and a beginning.
    a.send_text(&text);
    check(&mut a, &["OK"]);
    let moved = init("life", "b");
    a.send_text(&moved);
    check(&mut a, &["OK", "welcome"]);
    check(&mut watch, &["close a", &format!("open b {moved}")]);
    // To an app without handlers, and back.
    a.init("none", "b");
    check(&mut watch, &["close b"]);
    let mut b = Ws::open(&server);
    b.send_text(&init("life", "reset"));
    check(&mut b, &["OK", "welcome"]);
    b.conn.reset_on_close();
    drop(b);
    check(
        &mut watch,
        &[
            &format!("open reset {}", init("life", "reset")),
            "close reset",
        ],
    );
    // A poll is no connection of a user.
    let poll = get(&server, "/getMsg?app=life&user=p&timeout=0.01");
    assert_eq!(poll, "");
    let mut c = Ws::open(&server);
    c.send_text(&init("life", "c"));
    check(&mut c, &["OK", "welcome"]);
    check(&mut watch, &[&format!("open c {}", init("life", "c"))]);
    // What it said last is handled before its end is.
    c.send_text("{\"gate\":\"c\"}");
    c.conn.reset_on_close();
    drop(c);
    assert_eq!(push(&server, "watch", "*", "nothing yet"), 1);
    check(&mut watch, &["nothing yet"]);
    open(&server, "c");
    check(&mut watch, &["message c", "close c"]);
}

#[test]
fn a_handler_closes_with_a_code_that_may_be_sent() {
    let server = order("");
    let mut ws = Ws::user(&server, "code", "u");
    for code in [
        "0", "999", "1004", "1006", "1015", "2999", "5000", "70000", "-1", "1000.5",
    ] {
        ws.send_text(&format!("{{\"code\":{code}}}"));
        check(&mut ws, &["false", "OK"]);
    }
    ws.send_text("{\"code\":4999}");
    assert_eq!(ws.closed(4999), "a reason");
    let mut ws = Ws::user(&server, "code", "u");
    ws.send_text("{}");
    assert_eq!(ws.closed(1000), "a reason");
}

#[test]
fn an_end_is_heard_of() {
    let server = shop();
    let mut watch = Ws::user(&server, "watch", "w");
    let mut ann = Ws::open(&server);
    ann.send_text(&init("shop", "ann"));
    ann.send_text("{\"ac\":\"bye\"}");
    assert_eq!(watch.text(), "{\"gone\":\"ann\"}");
}
