//! What the simulation found, each as small as it can be shown.

use super::bench::{Bench, UPGRADE};
use super::wire::{Rng, frame};
use crate::ids::ConnId;
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
