//! Order of messages, and receivers that do not read (contract 2 and 4).

use jdserver::limits::EXPRESS_RECEIVERS_MAX;

use crate::common::http::{Conn, ask, get, push, wait_users};
use crate::common::server::Server;
use crate::common::websocket::{Message, TEXT, Ws, frame};

/// More than enough to fill every buffer between the server and one that does not read.
const PUSHES_MAX: usize = 2_000;

/// A user that does not read and has little room for what it does not read.
#[track_caller]
fn slow_user(server: &Server, app: &str, user: &str) -> Ws {
    let mut ws = Ws::upgrade(Conn::open_narrow(server), "/", "").expect("an upgrade");
    ws.init(app, user);
    ws
}

/// A message of 60,000 bytes that begins with its number.
fn large(number: usize) -> String {
    format!("{number:06}{}", "x".repeat(59_994))
}

#[test]
fn messages_to_one_connection_keep_their_order() {
    let server = Server::start();
    let mut receiver = Ws::user(&server, "order", "r");
    let mut sender = Ws::user(&server, "order", "s");
    for n in 0..1000 {
        sender.send_text(&format!(
            r#"{{"ac":"push","app":"order","user":"r","msg":{n}}}"#
        ));
        if n % 10 == 9 {
            for m in n - 9..=n {
                assert_eq!(
                    (receiver.text(), sender.text()),
                    (m.to_string(), "1".into())
                );
            }
        }
    }
}

/// A receiver that reads is not slow, however many messages one read of the server holds for it.
#[test]
fn many_pushes_in_one_write() {
    let server = Server::start();
    let mut receiver = Ws::user(&server, "many", "r");
    let mut sender = Ws::user(&server, "many", "s");
    let push = |n: usize| format!(r#"{{"ac":"push","app":"many","user":"r","msg":{n}}}"#);
    let pushes: Vec<u8> = (0..3000)
        .flat_map(|n| frame(TEXT, push(n).as_bytes()))
        .collect();
    sender.conn.send(pushes);
    for n in 0..3000 {
        assert_eq!(receiver.text(), n.to_string());
    }
    for _ in 0..3000 {
        assert_eq!(sender.text(), "1");
    }
}

#[test]
fn many_pushes_in_one_list() {
    let server = Server::start();
    let mut receiver = Ws::user(&server, "list", "r");
    let push = |n: usize| format!(r#"{{"app":"list","user":"r","msg":"{n}"}}"#);
    let pushes: Vec<String> = (0..3000).map(push).collect();
    let json = "Content-Type: application/json\r\n";
    let answer = ask(
        &server,
        "POST",
        "/push",
        json,
        &format!("[{}]", pushes.join(",")),
    );
    let counts = format!("[0,[{}]]\n", vec!["1"; 3000].join(","));
    assert!(
        answer.text() == counts,
        "{} times 0",
        answer.text().matches(",0").count()
    );
    for n in 0..3000 {
        assert_eq!(receiver.text(), n.to_string());
    }
}

#[test]
fn many_pushes_pipelined() {
    let server = Server::start();
    let mut receiver = Ws::user(&server, "pipe", "r");
    let mut conn = Conn::open(&server);
    let push = |n: usize| format!("GET /push?app=pipe&user=r&msg={n} HTTP/1.1\r\nHost: h\r\n\r\n");
    conn.send((0..3000).map(push).collect::<String>());
    for n in 0..3000 {
        assert_eq!(receiver.text(), n.to_string());
    }
    for _ in 0..3000 {
        assert_eq!(conn.answer().text(), "[0,1]\n");
    }
}

/// Wide enough for the slow lane: more receivers than are flushed at once.
#[test]
fn many_wide_pushes() {
    const RECEIVERS: usize = EXPRESS_RECEIVERS_MAX + 36;
    let server = Server::start();
    let user = |n: usize| Ws::user(&server, "wide", &format!("u{n}"));
    let mut receivers: Vec<Ws> = (0..RECEIVERS).map(user).collect();
    let mut sender = Ws::user(&server, "other", "s");
    let push = |n: usize| format!(r#"{{"ac":"push","app":"wide","user":"u*","msg":{n}}}"#);
    let pushes: Vec<u8> = (0..1500)
        .flat_map(|n| frame(TEXT, push(n).as_bytes()))
        .collect();
    sender.conn.send(pushes);
    for _ in 0..1500 {
        assert_eq!(sender.text(), RECEIVERS.to_string());
    }
    for receiver in &mut receivers {
        for n in 0..1500 {
            assert_eq!(receiver.text(), n.to_string());
        }
    }
}

#[test]
fn a_sender_gets_its_own_push_before_the_count() {
    let server = Server::start();
    let mut ws = Ws::user(&server, "self", "u");
    let mut other = Ws::user(&server, "self", "v");
    for user in ["u", "*", "u,v", "?"] {
        ws.send_text(&format!(
            r#"{{"ac":"push","app":"self","user":"{user}","msg":"{user}"}}"#
        ));
        assert_eq!(ws.text(), user);
        assert_eq!(ws.text(), if user == "u" { "1" } else { "2" });
    }
    for user in ["*", "u,v", "?"] {
        assert_eq!(other.text(), user);
    }
}

#[test]
fn http_and_websocket_pushes_of_one_receiver_arrive_as_they_were_counted() {
    let server = Server::start();
    let mut receiver = Ws::user(&server, "both", "r");
    let mut sender = Ws::user(&server, "both", "s");
    for n in 0..20 {
        assert_eq!(push(&server, "both", "r", &format!("http{n}")), 1);
        sender.send_text(&format!(
            r#"{{"ac":"push","app":"both","user":"r","msg":"ws{n}"}}"#
        ));
        assert_eq!(sender.text(), "1");
    }
    for n in 0..20 {
        assert_eq!(
            (receiver.text(), receiver.text()),
            (format!("http{n}"), format!("ws{n}"))
        );
    }
}

#[test]
fn a_receiver_that_does_not_read_is_closed() {
    let server = Server::start();
    let mut slow = slow_user(&server, "full", "slow");
    let mut quick = Ws::user(&server, "full", "quick");
    let refused = (0..PUSHES_MAX).find(|n| {
        let count = push(&server, "full", "*", &large(*n));
        assert_eq!(quick.text(), large(*n), "the quick one gets all");
        count == 1
    });
    assert!(
        refused.is_some(),
        "{PUSHES_MAX} pushes were taken by one that does not read"
    );
    wait_users(&server, "full", r#"["quick"]"#);
    assert_eq!(push(&server, "full", "slow", "x"), 0);
    while slow.conn.take(1000).is_some() {}
}

#[test]
fn or_loses_messages_that_were_not_counted() {
    let server = Server::configured("full_queue = \"drop\"\n");
    let mut slow = slow_user(&server, "drop", "slow");
    let mut quick = Ws::user(&server, "drop", "quick");
    let (mut counted, mut dropped) = (Vec::new(), 0);
    for n in 0..PUSHES_MAX {
        let message = large(n);
        match push(&server, "drop", "*", &message) {
            2 => counted.push(n),
            1 => dropped += 1,
            other => panic!("{other} took it"),
        }
        assert_eq!(quick.text(), message, "the quick one gets all");
        if dropped == 5 {
            break;
        }
    }
    assert_eq!(
        dropped, 5,
        "all of {PUSHES_MAX} pushes were taken by one that does not read"
    );
    assert_eq!(
        get(&server, "/getUsers?app=drop"),
        "[0,[\"slow\",\"quick\"]]\n"
    );
    for n in counted {
        assert_eq!(slow.text(), large(n), "what was counted arrives, in order");
    }
    assert_eq!(push(&server, "drop", "*", "again"), 2);
    assert_eq!(slow.text(), "again");
}

#[test]
fn the_cap_of_all_queues_together() {
    let settings = "max_queue = \"1G\"\nmax_queue_total = \"1M\"\nfull_queue = \"drop\"\n";
    let server = Server::configured(settings);
    let mut slow: Vec<Ws> = ["a", "b", "c"]
        .iter()
        .map(|user| slow_user(&server, "total", user))
        .collect();
    let count = (0..PUSHES_MAX)
        .map(|n| push(&server, "total", "*", &large(n)))
        .find(|count| *count < 3);
    assert!(
        count.is_some(),
        "{PUSHES_MAX} pushes were taken within a cap of 1 MiB"
    );
    for ws in &mut slow {
        assert_eq!(ws.text(), large(0), "nobody is closed by it");
    }
}

#[test]
fn a_sender_that_does_not_read_its_answers_is_not_read_either() {
    const MESSAGES: usize = 64;
    let server = Server::setup().argument("--echo").start();
    let mut ws = Ws::upgrade(Conn::open_narrow(&server), "/echo", "").expect("an upgrade");
    let text = "x".repeat(1 << 20);
    let bytes = frame(TEXT, text.as_bytes()).repeat(MESSAGES);
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 50 {
        assert!(
            sent < bytes.len(),
            "the server took {sent} bytes and could get rid of none"
        );
        match ws.conn.send_some(&bytes[sent..]) {
            // An answer on another connection says that the server has had its turn.
            0 => stuck += usize::from(get(&server, "/getUsers?app=nobody") == "[0,[]]\n"),
            more => (sent, stuck) = (sent + more, 0),
        }
    }
    let mut writer = ws.conn.twin();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.send(&bytes[sent..]));
        for n in 0..MESSAGES {
            assert!(ws.message() == Message::Text(text.clone()), "echo {n}");
        }
    });
    let peak = server.memory_peak();
    assert!(peak < 32 << 20, "{peak} bytes at its peak");
}
