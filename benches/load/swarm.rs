//! Many WebSocket clients on one thread: they connect, initialise, and count what arrives.

use std::io::{ErrorKind, Read, Write};
use std::net;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::server::Server;

/// Connections opened at once, well below any backlog.
const BATCH: usize = 200;
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What a round trip sends; the answer is `OK`.
pub const ALIVE: &str =
    r#"{"ac":"alive","p":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;

struct Client {
    stream: TcpStream,
    frames: FrameCounter,
}

/// Counts frames in a stream of pieces without keeping them.
#[derive(Default)]
struct FrameCounter {
    /// Bytes of a header that is not whole.
    header: [u8; 10],
    header_len: usize,
    /// Payload bytes to come.
    left: usize,
}

impl FrameCounter {
    /// How many frames end in this piece.
    fn count(&mut self, mut piece: &[u8]) -> u64 {
        let mut ended = 0;
        loop {
            if self.header_len > 0 && self.left > 0 {
                let taken = self.left.min(piece.len());
                self.left -= taken;
                piece = &piece[taken..];
                if self.left > 0 {
                    return ended;
                }
                self.header_len = 0;
                ended += 1;
            }
            let Some((&byte, rest)) = piece.split_first() else {
                return ended;
            };
            piece = rest;
            self.header[self.header_len] = byte;
            self.header_len += 1;
            self.left = match (self.header_len, self.header[1] & 0x7f) {
                (2, len @ 0..126) => usize::from(len),
                (4, 126) => usize::from(u16::from_be_bytes([self.header[2], self.header[3]])),
                (10, 127) => self.header[2..]
                    .iter()
                    .fold(0, |len, b| len << 8 | usize::from(*b)),
                _ => continue,
            };
            if self.left == 0 {
                self.header_len = 0;
                ended += 1;
            }
        }
    }
}

/// Clients of app `bench`, users `u0` and so on.
pub struct Swarm {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clients: Vec<Client>,
}

impl Swarm {
    /// Connects `count` of them and waits until the server knows them all.
    pub fn connect(server: &Server, count: usize) -> Self {
        let mut swarm = Swarm {
            poll: Poll::new().expect("epoll"),
            events: Events::with_capacity(1_024),
            buffer: vec![0; 64 << 10],
            clients: Vec::with_capacity(count),
        };
        while swarm.clients.len() < count {
            let batch = BATCH.min(count - swarm.clients.len());
            let mut streams: Vec<net::TcpStream> = (0..batch).map(|_| server.connect()).collect();
            for stream in &mut streams {
                stream.write_all(UPGRADE).expect("an open connection");
            }
            for (i, stream) in streams.iter_mut().enumerate() {
                read_head(stream);
                let user = swarm.clients.len() + i;
                let init = format!(r#"{{"ac":"init","app":"bench","user":"u{user}"}}"#);
                stream
                    .write_all(&masked(&init))
                    .expect("an open connection");
            }
            for mut stream in streams {
                let mut reply = [0; 4];
                stream.read_exact(&mut reply).expect("an answer to init");
                assert_eq!(&reply, b"\x81\x02OK");
                swarm.add(stream);
            }
        }
        swarm
    }

    fn add(&mut self, stream: net::TcpStream) {
        stream.set_nonblocking(true).expect("an open socket");
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.clients.len());
        self.poll
            .registry()
            .register(&mut stream, token, Interest::READABLE)
            .expect("a new socket");
        self.clients.push(Client {
            stream,
            frames: FrameCounter::default(),
        });
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Sends to all of them.
    pub fn send_all(&mut self, frame: &[u8]) {
        for client in &mut self.clients {
            client.stream.write_all(frame).expect("room for one frame");
        }
    }

    /// Takes what arrives within `limit`; every frame is answered with `reply`, if there is one.
    pub fn pump(&mut self, limit: Duration, reply: Option<&[u8]>) -> u64 {
        let mut frames = 0;
        if let Err(error) = self.poll.poll(&mut self.events, Some(limit)) {
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            return 0;
        }
        for event in &self.events {
            let client = &mut self.clients[event.token().0];
            loop {
                match client.stream.read(&mut self.buffer) {
                    Ok(0) => panic!("the server closed a receiver"),
                    Ok(len) => {
                        let ended = client.frames.count(&self.buffer[..len]);
                        frames += ended;
                        for _ in 0..reply.map_or(0, |_| ended) {
                            let reply = reply.unwrap_or_default();
                            client.stream.write_all(reply).expect("room for one frame");
                        }
                        if len < self.buffer.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("a receiver broke: {error}"),
                }
            }
        }
        frames
    }

    /// Takes what arrives until `done`, or until nothing came for two seconds.
    pub fn pump_until(&mut self, mut done: impl FnMut(u64) -> bool) -> u64 {
        let (mut frames, mut last) = (0, Instant::now());
        while !done(frames) && last.elapsed() < Duration::from_secs(2) {
            let more = self.pump(Duration::from_millis(20), None);
            if more > 0 {
                (frames, last) = (frames + more, Instant::now());
            }
        }
        frames
    }
}

fn read_head(stream: &mut net::TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 512];
        let len = stream.read(&mut piece).expect("an answer to an upgrade");
        assert!(len > 0, "the server closed instead of upgrading");
        head.extend_from_slice(&piece[..len]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
}

/// A client's text frame.
pub fn masked(text: &str) -> Vec<u8> {
    assert!(text.len() <= 125, "a short frame's length is one byte");
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x81, 0x80 | text.len() as u8];
    frame.extend_from_slice(&mask);
    frame.extend(text.bytes().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    frame
}
