//! What consoles are told and when, and who may be one.

use super::*;
use crate::limits::{HISTORY_MS, SWEEP_MS};
use crate::message::{LogFile, ReactorMsg};
use crate::settings::Origin;
use crate::state::server::Input;
use crate::state::simulation::bench::Bench;

impl Bench {
    /// The text messages that are sent to one connection now.
    fn texts(&mut self, id: ConnId) -> Vec<String> {
        let sent = self.flush(&[]).into_iter().filter(|(to, _)| *to == id);
        let bytes: Vec<u8> = sent.flat_map(|(_, bytes)| bytes).collect();
        let frames = match bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(end) if bytes.starts_with(b"HTTP") => &bytes[end + 4..],
            _ => &bytes,
        };
        let (mut texts, mut rest) = (Vec::new(), frames);
        while let [first, length, behind @ ..] = rest {
            let (length, behind) = match length {
                126 => (
                    usize::from(u16::from_be_bytes([behind[0], behind[1]])),
                    &behind[2..],
                ),
                length => (usize::from(*length), behind),
            };
            if *first == 0x81 {
                texts.push(String::from_utf8_lossy(&behind[..length]).into_owned());
            }
            rest = &behind[length..];
        }
        texts
    }

    /// The events that a console is told within one step of the sweep.
    fn events(&mut self, id: ConnId) -> Vec<Value> {
        self.pass(SWEEP_MS);
        let texts = self.texts(id);
        let events = texts.iter().filter(|text| *text != "OK");
        events
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .collect()
    }

    /// The next events of one kind; fails where none comes for a while.
    #[track_caller]
    fn event_of(&mut self, id: ConnId, kind: &str) -> Value {
        for _ in 0..100 {
            if let Some(event) = self
                .events(id)
                .into_iter()
                .find(|event| event["ev"] == kind)
            {
                return event;
            }
        }
        panic!("no {kind}");
    }

    /// The disk thread answers what it was asked last.
    fn tell_lines(&mut self, last: u64, texts: &[&str]) {
        self.asked.clear();
        let first = last + 1 - texts.len() as u64;
        let line = |(at, text): (usize, &&str)| TailLine {
            number: first + at as u64,
            file: LogFile::Trace,
            text: (*text).into(),
        };
        let told = Box::new(LogLines {
            reply_to: None,
            last,
            lines: texts.iter().enumerate().map(line).collect(),
        });
        self.server
            .handle(Input::Message(ReactorMsg::LogLines(told)));
    }
}

#[track_caller]
fn check_join(bench: &mut Bench, token: &str, want: &str) {
    let id = bench.accept();
    let upgrade = format!(
        "GET /?_token={token} HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    bench.send(id, upgrade.as_bytes());
    bench.say(id, &[r#"{"ac":"init","app":"_console","user":"x"}"#]);
    assert_eq!(bench.texts(id), [want], "{token}");
    bench.server.handle(Input::Lost(id));
}

#[test]
fn only_who_administers_may_watch() {
    let refused = "*** error: app `_console` requires the admin token";
    let mut bench = Bench::new(|_| {});
    check_join(&mut bench, "", "OK");
    let mut bench = Bench::new(|settings| {
        settings.set("token", "t", Origin::File).expect("right");
    });
    check_join(&mut bench, "t", "OK");
    let mut bench = Bench::new(|settings| {
        settings.set("token", "t", Origin::File).expect("right");
        settings
            .set("admin_token", "a", Origin::File)
            .expect("right");
    });
    check_join(&mut bench, "t", refused);
    check_join(&mut bench, "a", "OK");
    let mut bench = Bench::new(|settings| {
        settings
            .set("admin_token", "a", Origin::File)
            .expect("right");
    });
    check_join(&mut bench, "", refused);
    check_join(&mut bench, "a", "OK");
}

#[test]
fn consoles_are_few() {
    let mut bench = Bench::new(|_| {});
    for n in 0..CONSOLES_MAX {
        bench.user_of(APP, &n.to_string());
    }
    bench.flush(&[]);
    check_join(&mut bench, "", "*** error: too many consoles");
}

#[test]
fn nobody_else_pushes_to_them() {
    let mut bench = Bench::new(|_| {});
    let console = bench.user_of(APP, "x");
    let user = bench.user("u");
    bench.flush(&[]);
    bench.say(
        user,
        &[r#"{"ac":"push","app":"_console","user":"*","msg":"no"}"#],
    );
    assert_eq!(
        bench.texts(user),
        ["*** error: app `_console` is the daemon's own"]
    );
    let caller = bench.accept();
    for request in [
        "GET /push?app=_console&user=*&msg=no HTTP/1.1\r\nHost: s\r\n\r\n",
        "GET /getMsg?app=_console&user=y HTTP/1.1\r\nHost: s\r\n\r\n",
    ] {
        bench.send(caller, request.as_bytes());
        let sent = bench.flush(&[]);
        let to: Vec<ConnId> = sent.iter().map(|(to, _)| *to).collect();
        assert_eq!(to, [caller], "not {console:?}");
        let answer = String::from_utf8_lossy(&sent[0].1);
        assert!(
            answer.contains("app `_console` is the daemon's own"),
            "{answer}"
        );
    }
}

#[test]
fn a_new_console_is_told_how_things_stand_and_what_changes() {
    let mut bench = Bench::new(|_| {});
    bench.user("first");
    let console = bench.user_of(APP, "x");
    assert_eq!(bench.texts(console), ["OK"]);
    let kinds: Vec<Value> = bench
        .events(console)
        .iter()
        .map(|event| event["ev"].clone())
        .collect();
    assert_eq!(kinds, ["stat", "apps"]);
    let user = bench.user("second");
    let moves = bench.event_of(console, "moves");
    assert_eq!(
        moves["moves"],
        json!([["+", "a", "second", user.generation]])
    );
    let apps = bench.event_of(console, "apps");
    assert_eq!(
        (&apps["apps"], &apps["total"]),
        (&json!([["a", 2], [APP, 1]]), &json!(2))
    );
    bench.server.handle(Input::Lost(user));
    let moves = bench.event_of(console, "moves");
    assert_eq!(
        moves["moves"],
        json!([["-", "a", "second", user.generation]])
    );
    let stat = bench.event_of(console, "stat");
    assert_eq!(
        (&stat["stat"]["user_num"], &stat["stat"]["connection_num"]),
        (&json!(2), &json!(2))
    );
    let row = bench.event_of(console, "row");
    assert_eq!(row["row"][1], 2);
    assert_eq!(
        row["row"][0].as_u64().map(|t| t % (HISTORY_MS / 1_000)),
        Some(0)
    );
}

#[test]
fn without_consoles_nothing_is_asked_or_remembered() {
    let mut bench = Bench::new(|_| {});
    bench.user("u");
    for _ in 0..100 {
        bench.pass(SWEEP_MS);
        bench.flush(&[]);
    }
    assert!(bench.asked.is_empty() && bench.server.console.moves.is_empty());
    let console = bench.user_of(APP, "x");
    bench.events(console);
    assert_eq!(bench.asked.len(), 1);
    bench.server.handle(Input::Lost(console));
    bench.user("v");
    bench.events(console);
    assert!(!bench.server.console.is_watched && bench.server.console.moves.is_empty());
}

#[test]
fn moves_beyond_a_bound_are_counted() {
    let mut bench = Bench::new(|_| {});
    let console = bench.user_of(APP, "x");
    bench.events(console);
    let user = bench.user("u0");
    for n in 0..CONSOLE_MOVES_MAX {
        let init = format!(r#"{{"ac":"init","app":"a","user":"u{n}"}}"#);
        bench.say(user, &[&init]);
    }
    let moves = bench.event_of(console, "moves");
    assert_eq!(
        moves["moves"].as_array().map(Vec::len),
        Some(CONSOLE_MOVES_MAX)
    );
    // The first init, and each further one twice but for the name it had already.
    assert_eq!(moves["more"], 2 * CONSOLE_MOVES_MAX - 1 - CONSOLE_MOVES_MAX);
}

#[test]
fn lines_of_the_logs_follow_the_ones_before() {
    let mut bench = Bench::new(|_| {});
    let console = bench.user_of(APP, "x");
    bench.flush(&[]);
    assert_eq!(
        (bench.asked[0].after, bench.asked[0].limit),
        (0, 0),
        "where to begin"
    );
    for _ in 0..8 {
        bench.events(console);
    }
    assert_eq!(bench.asked.len(), 1, "one question at a time");
    bench.tell_lines(40, &[]);
    let next = (0..4).find_map(|_| {
        bench.events(console);
        bench.asked.pop()
    });
    let next = next.expect("asked again");
    assert_eq!(
        (next.after, next.limit, next.reply_to),
        (40, CONSOLE_LINES_MAX, None)
    );
    bench.tell_lines(42, &["a", "b"]);
    let log = bench.event_of(console, "log");
    assert_eq!(
        log["lines"],
        json!([[41, "trace", "a"], [42, "trace", "b"]])
    );
    assert_eq!(log["more"], 0);
    bench.tell_lines(50, &["c"]);
    let log = bench.event_of(console, "log");
    assert_eq!(
        (&log["lines"], &log["more"]),
        (&json!([[50, "trace", "c"]]), &json!(7))
    );
}

#[test]
fn a_console_that_takes_nothing_misses_events_and_stays() {
    let mut bench = Bench::new(|_| {});
    let console = bench.user_of(APP, "x");
    for n in 0..2_000 {
        bench.user(&"n".repeat(100));
        if n % 40 == 0 {
            bench.pass(SWEEP_MS);
        }
        bench.flush(&[console]);
        if bench.server.len() > 90 {
            let others = bench.server.hub.members_of("a");
            let others: Vec<ConnId> = others.filter_map(|key| bench.server.id_of(key)).collect();
            for id in others {
                bench.server.handle(Input::Lost(id));
            }
        }
    }
    let queued = bench
        .server
        .connection(console)
        .expect("still there")
        .outbound
        .cost();
    assert!(
        queued > CONSOLE_QUEUE_BYTES_MAX / 2 && queued < 2 * CONSOLE_QUEUE_BYTES_MAX,
        "{queued}"
    );
    bench.server.handle(Input::Writable(console));
    assert!(bench.texts(console).len() > 10);
    assert_eq!(bench.event_of(console, "stat")["ev"], "stat");
}
