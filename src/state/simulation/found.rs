//! What the simulation found, each as small as it can be shown.

use super::bench::{Bench, UPGRADE};
use super::wire::{Rng, frame};
use crate::ids::ConnId;
use crate::limits::{EXPRESS_RECEIVERS_MAX, HELD_BYTES_MAX};
use crate::state::server::Input;

#[test]
fn two_pushes_in_one_read_are_both_counted_behind_their_receivers() {
    let mut bench = Bench::new(|_| {});
    let (a, b, sender) = (bench.user("a"), bench.user("b"), bench.user("s"));
    bench.flush(&[]);
    bench.push(sender, &["a", "b"]);
    let order: Vec<ConnId> = bench.flush(&[]).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [a, b, sender]);
}

#[test]
fn pushes_that_cross_are_counted_behind_their_receivers() {
    let mut bench = Bench::new(|_| {});
    let (a, s, t) = (bench.user("a"), bench.user("s"), bench.user("t"));
    bench.flush(&[]);
    bench.push(t, &["s"]);
    bench.push(s, &["a"]);
    let order: Vec<ConnId> = bench.flush(&[]).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [s, t, a, s], "to few");

    let others: Vec<ConnId> = (0..EXPRESS_RECEIVERS_MAX)
        .map(|at| bench.user(&format!("u{at}")))
        .collect();
    bench.flush(&[]);
    bench.push(t, &["*"]);
    bench.push(s, &["*"]);
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.extend(bench.flush(&[]));
        bench.pass(0);
    }
    let messages_to = |id: ConnId, before: usize| {
        let texts = sent[..before].iter().filter(|(to, _)| *to == id);
        let bytes: Vec<u8> = texts.flat_map(|(_, bytes)| bytes.clone()).collect();
        memchr::memmem::find_iter(&bytes, "hello").count()
    };
    let count = (others.len() + 3).to_string();
    for (sender, messages) in [(t, 1), (s, 2)] {
        let is_count = |(to, bytes): &(ConnId, Vec<u8>)| {
            *to == sender && memchr::memmem::find(bytes, count.as_bytes()).is_some()
        };
        let at = sent.iter().position(is_count).expect("a count");
        for id in others
            .iter()
            .chain([&a, &s, &t])
            .filter(|id| **id != sender)
        {
            assert!(
                messages_to(*id, at) >= messages,
                "{id:?} comes before the count to {sender:?}"
            );
        }
    }
}

#[test]
fn bytes_now_and_then_do_not_keep_a_peer_that_takes_no_answer() {
    let mut bench = Bench::new(|settings| settings.write_timeout_ms = 5_000);
    let id = bench.accept();
    bench.send(id, b"GET /stat HTTP/1.1\r\nHost: s\r\n\r\n");
    bench.flush(&[id]);
    for _ in 0..20 {
        bench.pass(500);
        bench.send(id, b"G");
        bench.flush(&[id]);
    }
    assert!(bench.server.is_empty());
}

#[test]
fn nothing_is_sent_behind_a_close() {
    let mut bench = Bench::new(|_| {});
    let id = bench.user("u");
    bench.flush(&[]);
    bench.server.handle(Input::Stop);
    assert_eq!(bench.flush(&[])[0].1[0], 0x88);
    let broken = frame(&mut Rng(1), 0x83, b"x");
    bench.send(id, &broken);
    assert!(bench.flush(&[]).is_empty());
}

#[test]
fn pushes_that_waited_for_their_turn_are_done_though_their_sender_has_ended() {
    let mut bench = Bench::new(|settings| settings.max_queue = 1 << 20);
    let (receiver, sender) = (bench.user("r"), bench.user("s"));
    bench.flush(&[]);
    let users = ["r"; 3_000];
    bench.push(sender, &users);
    bench.server.handle(Input::End(sender));
    let mut bytes = 0;
    for _ in 0..100 {
        let sent = bench.flush(&[]);
        bytes += sent
            .iter()
            .filter(|(id, _)| *id == receiver)
            .map(|(_, sent)| sent.len())
            .sum::<usize>();
        bench.pass(1);
    }
    assert_eq!((bytes, bench.server.len()), (users.len() * 7, 1));
}

#[test]
fn a_message_that_had_to_wait_is_not_for_who_moved_meanwhile() {
    let mut bench = Bench::new(|settings| settings.max_queue = 0);
    let (receiver, sender) = (bench.user("r"), bench.user("s"));
    bench.flush(&[]);
    // The second finds a full queue that was only not flushed yet.
    bench.push(sender, &["r", "r"]);
    bench.say(receiver, &[r#"{"ac":"init","app":"a","user":"other"}"#]);
    let mut hellos = 0;
    for _ in 0..10 {
        let sent = bench.flush(&[]);
        let to_receiver = sent.iter().filter(|(id, _)| *id == receiver);
        hellos += to_receiver
            .map(|(_, sent)| sent.windows(5).filter(|w| *w == b"hello").count())
            .sum::<usize>();
        bench.pass(1);
    }
    assert_eq!(hellos, 1);
}

#[test]
fn an_upgrade_that_waited_until_its_peer_was_gone_joins_nothing() {
    let mut bench = Bench::new(|_| {});
    let id = bench.accept();
    let mut bytes = b"GET /logTail HTTP/1.1\r\nHost: s\r\n\r\n".to_vec();
    bytes.extend_from_slice(UPGRADE);
    bytes.extend(frame(
        &mut Rng(1),
        0x81,
        br#"{"ac":"init","app":"a","user":"u"}"#,
    ));
    bench.send(id, &bytes);
    bench.server.handle(Input::Lost(id));
    bench.server.handle(Input::TailRefused(Some(id)));
    bench.server.check();
    assert!(bench.server.is_empty());
}

#[test]
fn calls_behind_a_poll_whose_peer_ends_are_answered() {
    let calls = b"GET /getMsg?app=a&user=p HTTP/1.1\r\nHost: s\r\n\r\n\
        GET /push?app=a&user=r&msg=hello HTTP/1.1\r\nHost: s\r\n\r\n";
    for is_lost in [false, true] {
        let mut bench = Bench::new(|_| {});
        let receiver = bench.user("r");
        let poller = bench.accept();
        bench.send(poller, calls);
        bench.flush(&[]);
        bench.server.handle(if is_lost {
            Input::Lost(poller)
        } else {
            Input::End(poller)
        });
        bench.pass(1);
        let sent = bench.flush(&[]);
        let to = |id| {
            let sent = sent.iter().filter(move |(other, _)| *other == id);
            String::from_utf8_lossy(
                &sent
                    .flat_map(|(_, bytes)| bytes.clone())
                    .collect::<Vec<_>>(),
            )
            .into_owned()
        };
        assert!(to(receiver).ends_with("hello"), "{is_lost}");
        let answers = to(poller);
        if is_lost {
            assert_eq!(answers, "");
        } else {
            assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
            assert!(answers.contains("Content-Length: 0"), "{answers}");
            assert!(answers.ends_with("[0,1]\n"), "{answers}");
        }
        bench.pass(2_000);
        bench.flush(&[]);
        assert_eq!(bench.server.len(), 1, "the receiver alone");
        bench.server.check();
    }
}

#[test]
fn a_push_that_closes_its_own_sender_reaches_the_others() {
    let mut bench = Bench::new(|settings| settings.max_queue = 0);
    let (sender, receiver) = (bench.user("s"), bench.user("r"));
    bench.flush(&[sender]);
    // The receiver's queue is full until it is flushed, so the second push has to wait; it closes the sender first.
    let list = r#"{"ac":"push","app":"a","user":["s","r"],"msg":"hello"}"#;
    let one = r#"{"ac":"push","app":"a","user":"r","msg":"hello"}"#;
    bench.say(sender, &[one, list, one]);
    let mut hellos = 0;
    for _ in 0..10 {
        let sent = bench.flush(&[sender]);
        let to_receiver = sent.iter().filter(|(id, _)| *id == receiver);
        hellos += to_receiver
            .map(|(_, sent)| sent.windows(5).filter(|w| *w == b"hello").count())
            .sum::<usize>();
        bench.server.check();
        bench.pass(1);
    }
    assert_eq!((hellos, bench.server.len()), (2, 1));
}

#[test]
fn who_holds_most_unfinished_input_goes_when_there_is_too_much() {
    let mut bench = Bench::new(|settings| settings.max_body = 32 << 20);
    let head = |bytes: usize| {
        format!("POST /push?app=a HTTP/1.1\r\nHost: s\r\nContent-Length: {bytes}\r\n\r\n")
    };
    let parts = [20 << 20, 24 << 20, 16 << 20];
    let ids: Vec<ConnId> = parts.iter().map(|_| bench.accept()).collect();
    for (&id, &part) in ids.iter().zip(&parts) {
        bench.send(id, head(part + 1).as_bytes());
        bench.send(id, &vec![b'x'; part]);
    }
    assert!(bench.flush(&[]).is_empty(), "all of it fits");
    let last = bench.accept();
    bench.send(last, head(16 << 20).as_bytes());
    bench.send(last, &vec![b'x'; 8 << 20]);
    let sent = bench.flush(&[]);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, ids[1], "it held most");
    let text = String::from_utf8_lossy(&sent[0].1).into_owned();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(text.contains("too much unfinished input"), "{text}");
    // The others go on.
    bench.send(ids[0], b"x");
    let sent = bench.flush(&[]);
    assert_eq!(sent.first().map(|(id, _)| *id), Some(ids[0]));
    bench.server.check();
}

#[test]
fn a_websocket_that_holds_most_is_told_to_come_back() {
    let mut bench = Bench::new(|settings| settings.max_body = HELD_BYTES_MAX);
    let half = HELD_BYTES_MAX / 2;
    let (less, more) = (bench.user("a"), bench.user("b"));
    bench.flush(&[]);
    bench.send(less, &frame(&mut Rng(1), 0x01, &vec![b'x'; half - 100]));
    bench.send(more, &frame(&mut Rng(1), 0x01, &vec![b'x'; half + 200]));
    let sent = bench.flush(&[]);
    assert_eq!(sent.len(), 1);
    let (id, bytes) = &sent[0];
    assert_eq!(
        (*id, &bytes[..1], &bytes[2..4]),
        (more, &b"\x88"[..], &1013_u16.to_be_bytes()[..])
    );
    bench.server.check();
}
