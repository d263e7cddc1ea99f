//! What the simulation found, each as small as it can be shown.

use jiff::tz::TimeZone;

use super::wire::{Rng, frame};
use crate::ids::{ConnId, Now};
use crate::settings::Settings;
use crate::state::server::{Input, Output, Server, Setup};

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

struct Bench {
    server: Server<()>,
    now: Now,
}

impl Bench {
    fn new(set: impl FnOnce(&mut Settings)) -> Self {
        let (mut settings, now) = (Settings::default(), Now::default());
        set(&mut settings);
        let setup = Setup {
            settings,
            connections_max: 100,
            static_on_disk: false,
            plugins: None,
            zone: TimeZone::UTC,
            now,
        };
        let server = Server::new(setup);
        Bench { server, now }
    }

    fn accept(&mut self) -> ConnId {
        self.server.accept((), None).expect("there is room")
    }

    fn send(&mut self, id: ConnId, bytes: &[u8]) {
        self.server.handle(Input::Bytes(id, &mut bytes.to_vec()));
    }

    fn say(&mut self, id: ConnId, texts: &[&str]) {
        let frames = texts
            .iter()
            .map(|text| frame(&mut Rng(1), 0x81, text.as_bytes()));
        self.send(id, &frames.collect::<Vec<_>>().concat());
    }

    fn user(&mut self, user: &str) -> ConnId {
        let id = self.accept();
        self.send(id, UPGRADE);
        self.say(
            id,
            &[&format!(r#"{{"ac":"init","app":"a","user":"{user}"}}"#)],
        );
        id
    }

    fn push(&mut self, from: ConnId, users: &[&str]) {
        let texts = users
            .iter()
            .map(|user| format!(r#"{{"ac":"push","app":"a","user":"{user}","msg":"hello"}}"#));
        let texts: Vec<String> = texts.collect();
        self.say(from, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// What is sent, in order, when every socket takes everything but those named.
    fn flush(&mut self, stuck: &[ConnId]) -> Vec<(ConnId, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            let Output::Transmit(id) = output else {
                continue;
            };
            if stuck.contains(&id) {
                self.server.set_blocked(id);
                continue;
            }
            let Some(conn) = self.server.connection(id) else {
                continue;
            };
            let mut bytes = vec![0; conn.outbound.cost()];
            let filled = conn.outbound.gather(&mut bytes);
            bytes.truncate(filled);
            self.server.advance(id, filled);
            sent.push((id, bytes));
        }
        sent
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.server.begin_turn(self.now);
    }
}

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
