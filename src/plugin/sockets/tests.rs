//! Against sockets of std on the other side.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener as StdListener, TcpStream as StdStream};
use std::time::Duration;

use mio::{Events, Poll};

use super::*;
use crate::limits::{PLUGIN_SOCKET_READ_BYTES_MAX, PLUGIN_SOCKET_WRITE_BYTES_MAX};

struct Bench {
    poll: Poll,
    sockets: Sockets,
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const TASK: TaskId = TaskId(1);

impl Bench {
    fn new() -> Self {
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a clone");
        let sockets = Sockets::new(registry, 64);
        Bench { poll, sockets }
    }

    /// The next thing that happens, which must be soon.
    fn event(&mut self) -> SocketEvent {
        let mut events = Events::with_capacity(16);
        loop {
            if let Some(event) = self.sockets.poll_event() {
                return event;
            }
            let wait = match self.sockets.is_ready() {
                true => Duration::ZERO,
                false => Duration::from_secs(20),
            };
            self.poll.poll(&mut events, Some(wait)).expect("polled");
            assert!(!events.is_empty() || wait.is_zero(), "nothing happens");
            for event in &events {
                self.sockets.handle_event(event);
            }
            self.sockets.go_on();
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.event() {
            SocketEvent::Over(TASK, outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// A connection as a listener took it, and its other end.
    fn pair(&mut self) -> (SocketId, StdStream) {
        let listener = self.sockets.listen_tcp(1, ANY).expect("bound");
        let address = self.sockets.local_address(listener).expect("an address");
        let peer = StdStream::connect(address).expect("connected");
        match self.event() {
            SocketEvent::Accepted { socket, .. } => (socket, peer),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, id: SocketId, want: Want) -> Outcome {
        match self.sockets.read(id, want, TASK) {
            Some(outcome) => outcome,
            None => self.outcome(),
        }
    }
}

fn data(text: &str) -> Outcome {
    Outcome::Data(text.as_bytes().to_vec())
}

#[test]
fn lines_and_bytes_come_as_they_are_asked_for() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.pair();
    assert_eq!(bench.sockets.read(id, Want::Line, TASK), None);
    peer.write_all(b"one\r\ntwo\nxyzrest").expect("written");
    assert_eq!(bench.outcome(), data("one"));
    assert_eq!(bench.read(id, Want::Line), data("two"));
    assert_eq!(bench.read(id, Want::Exactly(3)), data("xyz"));
    assert_eq!(bench.read(id, Want::Some), data("rest"));
    peer.write_all(b"half").expect("written");
    drop(peer);
    assert_eq!(bench.read(id, Want::Line), Outcome::End);
    assert_eq!(bench.read(id, Want::Some), data("half"));
    assert_eq!(bench.read(id, Want::Some), Outcome::End);
}

#[test]
fn a_long_write_waits_for_its_reader_and_a_full_buffer_for_its_own() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.pair();
    let long = vec![7; PLUGIN_SOCKET_WRITE_BYTES_MAX];
    assert_eq!(bench.sockets.write(id, &long, TASK), None);
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; PLUGIN_SOCKET_WRITE_BYTES_MAX];
        peer.read_exact(&mut got).expect("read");
        peer.write_all(&got[..3 * PLUGIN_SOCKET_READ_BYTES_MAX])
            .expect("written");
        got
    });
    assert_eq!(bench.outcome(), Outcome::Done);
    for _ in 0..3 {
        let got = bench.read(id, Want::Exactly(PLUGIN_SOCKET_READ_BYTES_MAX));
        assert_eq!(got, Outcome::Data(vec![7; PLUGIN_SOCKET_READ_BYTES_MAX]));
    }
    assert_eq!(reader.join().expect("no panic"), long);
}

#[test]
fn a_connection_is_made_or_refused() {
    let mut bench = Bench::new();
    let listener = StdListener::bind(ANY).expect("bound");
    let address = listener.local_addr().expect("an address");
    let id = bench.sockets.connect(1, address, TASK).expect("begun");
    assert_eq!(bench.outcome(), Outcome::Done);
    let (mut peer, _) = listener.accept().expect("accepted");
    assert_eq!(bench.sockets.write(id, b"hi", TASK), Some(Outcome::Done));
    let mut got = [0; 2];
    peer.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"hi");
    drop(listener);
    drop(peer);
    let refused = bench.sockets.connect(1, address, TASK).expect("begun");
    assert!(matches!(bench.outcome(), Outcome::Failed(_)));
    assert!(matches!(
        bench.read(refused, Want::Some),
        Outcome::Failed(_)
    ));
}

#[test]
fn datagrams_name_their_sender() {
    let mut bench = Bench::new();
    let id = bench.sockets.listen_udp(1, ANY).expect("bound");
    let address = bench.sockets.local_address(id).expect("an address");
    let peer = std::net::UdpSocket::bind(ANY).expect("bound");
    peer.send_to(b"ping", address).expect("sent");
    let from = match bench.event() {
        SocketEvent::Datagram { peer, data, .. } if data == b"ping" => peer,
        other => panic!("{other:?}"),
    };
    assert_eq!(from, peer.local_addr().expect("an address"));
    bench.sockets.send_to(id, b"pong", from).expect("sent");
    let mut got = [0; 4];
    peer.recv(&mut got).expect("received");
    assert_eq!(&got, b"pong");
}

#[test]
fn whoever_waits_is_told_of_a_close_and_numbers_are_not_reused() {
    let mut bench = Bench::new();
    let (id, _peer) = bench.pair();
    assert_eq!(bench.sockets.read(id, Want::Some, TASK), None);
    assert!(matches!(
        bench.sockets.read(id, Want::Some, TaskId(2)),
        Some(Outcome::Failed(_))
    ));
    bench.sockets.close_all(2);
    bench.sockets.close_all(1);
    assert_eq!(bench.outcome(), closed());
    let again = bench.sockets.listen_tcp(1, ANY).expect("bound");
    assert_ne!(again, id);
    assert_eq!(bench.read(id, Want::Some), closed());
    assert_eq!(bench.sockets.write(id, b"x", TASK), Some(closed()));
}

#[test]
fn what_nobody_reads_stays_with_the_system() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.pair();
    peer.write_all(&[b'x'; 64 << 10]).expect("written");
    // Its edge comes before another socket's.
    let other = bench.sockets.listen_udp(1, ANY).expect("bound");
    let address = bench.sockets.local_address(other).expect("an address");
    let sender = std::net::UdpSocket::bind(ANY).expect("bound");
    sender.send_to(b"now", address).expect("sent");
    assert!(matches!(bench.event(), SocketEvent::Datagram { .. }));
    assert_eq!(bench.sockets.held, 0);
    assert_eq!(bench.read(id, Want::Exactly(3)), data("xxx"));
    assert!(bench.sockets.held <= PLUGIN_SOCKET_BUFFER_BYTES);
    bench.sockets.close(id);
    assert_eq!(bench.sockets.held, 0);
}

#[test]
fn all_sockets_together_hold_no_more_than_they_may() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.pair();
    // As if others did.
    bench.sockets.held = PLUGIN_SOCKETS_HELD_BYTES_MAX;
    let long = vec![7; PLUGIN_SOCKET_WRITE_BYTES_MAX];
    let refused = Outcome::Failed("too many bytes wait in sockets of plugins".to_owned());
    while bench.sockets.write(id, &long, TASK) == Some(Outcome::Done) {}
    assert_eq!(bench.sockets.write(id, b"x", TASK), Some(refused));
    let (id, mut other) = bench.pair();
    other.write_all(b"no line").expect("written");
    assert!(matches!(bench.read(id, Want::Line), Outcome::Failed(_)));
    let mut got = [0; 1];
    peer.read_exact(&mut got).expect("what the system took");
}

#[test]
fn a_line_that_drips_is_searched_once() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.pair();
    for round in 0..3 {
        // Whatever was left of the line before, the ends of lines are found.
        assert_eq!(bench.sockets.read(id, Want::Line, TASK), None);
        for byte in b"drip\r\nrest" {
            peer.write_all(&[*byte]).expect("written");
        }
        assert_eq!(bench.outcome(), data("drip"), "{round}");
        assert_eq!(bench.read(id, Want::Exactly(4)), data("rest"));
    }
    peer.write_all(b"a\nb\nc").expect("written");
    peer.write_all(b"\n").expect("written");
    for line in ["a", "b", "c"] {
        assert_eq!(bench.read(id, Want::Line), data(line));
    }
    let endless = vec![b'x'; PLUGIN_SOCKET_READ_BYTES_MAX + (64 << 10)];
    let writer = std::thread::spawn(move || {
        peer.write_all(&endless).expect("written");
        peer
    });
    assert!(matches!(bench.read(id, Want::Line), Outcome::Failed(_)));
    let got = bench.read(id, Want::Exactly(PLUGIN_SOCKET_READ_BYTES_MAX));
    assert_eq!(got, Outcome::Data(vec![b'x'; PLUGIN_SOCKET_READ_BYTES_MAX]));
    writer.join().expect("no panic");
}

#[test]
fn what_was_written_arrives_though_not_all_was_read() {
    let mut bench = Bench::new();
    let (id, mut peer) = bench.pair();
    peer.write_all(&[b'x'; 8 << 10]).expect("written");
    assert_eq!(bench.read(id, Want::Exactly(1)), data("x"));
    assert_eq!(bench.sockets.write(id, b"bye", TASK), Some(Outcome::Done));
    bench.sockets.close(id);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).expect("an end, no reset");
    assert_eq!(got, b"bye");
}

#[test]
fn a_socket_is_on_the_list_once_and_its_number_fits_an_integer() {
    let mut bench = Bench::new();
    bench.sockets.serials = u32::MAX >> 1;
    let id = bench.sockets.listen_udp(1, ANY).expect("bound");
    for _ in 0..3 {
        bench.sockets.make_ready(id);
    }
    assert_eq!(bench.sockets.ready.len(), 1);
    bench.sockets.serials = (u32::MAX >> 1) - 1;
    let last = bench.sockets.listen_udp(1, ANY).expect("bound");
    assert!(i64::try_from(last.to_number()).is_ok());
    assert_eq!(SocketId::from_number(last.to_number()), last);
    assert!(bench.sockets.is_of(last, 1) && !bench.sockets.is_of(last, 2));
    assert!(!bench.sockets.is_of(SocketId::from_number(u64::MAX), 1));
}
