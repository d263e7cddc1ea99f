//! A small WebSocket client of its own (RFC 6455, 7692): it can send wrong frames, and it checks
//! on every frame what a server owes. Never a retry, never an answer that a test did not ask for.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tungstenite::handshake::derive_accept_key;

use crate::common::http::{Answer, Conn};
use crate::common::server::Server;

/// The key all our handshakes send; it is public by nature.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// First bytes of frames: FIN and operation code.
pub const TEXT: u8 = 0x81;
/// FIN, binary.
pub const BINARY: u8 = 0x82;
/// FIN, close.
pub const CLOSE: u8 = 0x88;
/// FIN, ping.
pub const PING: u8 = 0x89;
/// FIN, pong.
pub const PONG: u8 = 0x8a;
/// The bit that permessage-deflate uses.
pub const RSV1: u8 = 0x40;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An open WebSocket.
pub struct Ws {
    /// The connection below, for bytes that are no frames.
    pub conn: Conn,
    /// The agreed `Sec-WebSocket-Extensions`, empty for none.
    pub extensions: String,
}

/// One frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, RSV and operation code.
    pub first: u8,
    /// The payload, still compressed where RSV1 is set.
    pub payload: Vec<u8>,
}

/// One thing the server said.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// A whole text, inflated.
    Text(String),
    /// A whole binary message, inflated.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame: code (1005 for none) and reason.
    Close(u16, String),
    /// The end of the connection.
    End,
}

impl Ws {
    /// Upgrades a new connection at `/`.
    #[track_caller]
    pub fn open(server: &Server) -> Self {
        Self::open_at(server, "/", "")
    }

    /// Upgrades a new connection at `path`, with further header lines.
    #[track_caller]
    pub fn open_at(server: &Server, path: &str, headers: &str) -> Self {
        Self::upgrade(Conn::open(server), path, headers)
            .unwrap_or_else(|answer| panic!("refused: {answer:?}"))
    }

    /// Upgrades `conn`; `Err` is the answer that refuses.
    #[track_caller]
    pub fn upgrade(mut conn: Conn, path: &str, headers: &str) -> Result<Self, Answer> {
        conn.send(request(path, headers));
        let answer = conn.answer();
        if answer.status != 101 {
            return Err(answer);
        }
        Ok(Self::accepted(conn, &answer))
    }

    /// Goes on behind a 101 that was read already.
    #[track_caller]
    pub fn accepted(conn: Conn, answer: &Answer) -> Self {
        assert_eq!(answer.status, 101, "{answer:?}");
        let accept = derive_accept_key(KEY.as_bytes());
        assert_eq!(answer.header("sec-websocket-accept"), Some(accept.as_str()));
        let token = |name| answer.header(name).unwrap_or_default().to_ascii_lowercase();
        assert_eq!(
            (token("upgrade"), token("connection")),
            ("websocket".into(), "upgrade".into())
        );
        let extensions = answer
            .header("sec-websocket-extensions")
            .unwrap_or_default()
            .to_owned();
        Self { conn, extensions }
    }

    /// A connection that is `user` of `app`.
    #[track_caller]
    pub fn user(server: &Server, app: &str, user: &str) -> Self {
        let mut ws = Self::open(server);
        ws.init(app, user);
        ws
    }

    /// Sends `init` and waits for its `OK`.
    #[track_caller]
    pub fn init(&mut self, app: &str, user: &str) {
        self.send_text(&init(app, user));
        assert_eq!(self.text(), "OK");
    }

    /// Sends a whole text message in one frame.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    /// Sends one masked frame.
    #[track_caller]
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.conn.send(frame(first, payload));
    }

    /// The next text message; a ping before it is answered, anything else is a failure.
    #[track_caller]
    pub fn text(&mut self) -> String {
        loop {
            match self.message() {
                Message::Text(text) => return text,
                Message::Ping(payload) => self.send(PONG, &payload),
                other => panic!("a text was due, not {other:?}"),
            }
        }
    }

    /// The next message, fragments joined; pings and pongs between fragments are dropped.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        let Some(mut frame) = self.frame() else {
            return Message::End;
        };
        let first = frame.first;
        let mut payload = std::mem::take(&mut frame.payload);
        while frame.first & 0x80 == 0 {
            frame = self.frame().expect("the rest of a message");
            if frame.first & 0x08 == 0 {
                assert_eq!(frame.first & 0x7f, 0, "a continuation was due");
                payload.append(&mut frame.payload);
            } else {
                frame.first = 0;
            }
        }
        if first & RSV1 != 0 {
            assert!(!self.extensions.is_empty(), "RSV1 without an extension");
            payload = inflate(&payload);
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        match first & 0x0f {
            1 => Message::Text(text(payload)),
            2 => Message::Binary(payload),
            8 if payload.is_empty() => Message::Close(1005, String::new()),
            8 => {
                let reason = text(payload.split_off(2));
                Message::Close(u16::from_be_bytes([payload[0], payload[1]]), reason)
            }
            9 => Message::Ping(payload),
            10 => Message::Pong(payload),
            code => panic!("operation code {code}"),
        }
    }

    /// The next frame; `None` at the end of the connection. Servers never mask, use the shortest
    /// length and keep control frames whole and small (RFC 6455, 5.1, 5.2, 5.5).
    #[track_caller]
    pub fn frame(&mut self) -> Option<Frame> {
        let head = self.conn.take(2)?;
        assert_eq!(head[1] & 0x80, 0, "a masked frame from the server");
        let mut number = |n| {
            let bytes = self.conn.take(n).expect("a whole frame head");
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let length = match head[1] & 0x7f {
            126 => number(2),
            127 => number(8),
            short => usize::from(short),
        };
        let wanted = if length < 126 {
            length as u8
        } else if length < 1 << 16 {
            126
        } else {
            127
        };
        assert_eq!(
            head[1], wanted,
            "the length {length} is not in its shortest form"
        );
        assert_eq!(head[0] & 0x30, 0, "RSV2 or RSV3 set");
        if head[0] & 0x08 != 0 {
            assert!(
                head[0] & 0x80 != 0 && length < 126,
                "a control frame: {head:x?}"
            );
        }
        let payload = self.conn.take(length).expect("a whole frame");
        Some(Frame {
            first: head[0],
            payload,
        })
    }

    /// Proves that nothing was sent to us so far: a ping's pong must be the next thing to come,
    /// for what one connection is sent keeps its order.
    #[track_caller]
    pub fn quiet(&mut self) {
        self.send(PING, b"quiet?");
        assert_eq!(self.message(), Message::Pong(b"quiet?".to_vec()));
    }

    /// Waits for a close frame with this code, answers it, and waits for the end.
    #[track_caller]
    pub fn closed(&mut self, code: u16) -> String {
        let reason = match self.message() {
            Message::Close(got, reason) if got == code => reason,
            other => panic!("close {code} was due, not {other:?}"),
        };
        // The server may close without waiting for it, after a violation.
        let _ = self.conn.offer(&frame(CLOSE, &code.to_be_bytes()));
        assert_eq!(self.message(), Message::End);
        reason
    }
}

/// The bytes of an upgrade request.
pub fn request(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// The text that puts a connection under an app.
pub fn init(app: &str, user: &str) -> String {
    format!(r#"{{"ac":"init","app":"{app}","user":"{user}"}}"#)
}

/// The bytes of a masked frame with the shortest length.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// A message compressed as RFC 7692, 7.2.1 says: raw deflate, an empty block, its tail dropped.
pub fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::best(), false);
    let mut bytes = Vec::with_capacity(payload.len() + 64);
    stream
        .compress_vec(payload, &mut bytes, FlushCompress::Sync)
        .expect("memory only");
    assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]), "room for all of it");
    bytes.truncate(bytes.len() - 4);
    bytes
}

/// The reverse: the tail is put back, nothing is carried over from message to message.
pub fn inflate(payload: &[u8]) -> Vec<u8> {
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = Decompress::new(false);
    let mut bytes = Vec::with_capacity(payload.len() * 4 + 64);
    loop {
        let used = usize::try_from(stream.total_in()).expect("small");
        let before = bytes.len();
        stream
            .decompress_vec(&input[used..], &mut bytes, FlushDecompress::Sync)
            .expect("valid deflate");
        if bytes.len() < bytes.capacity() && bytes.len() == before {
            return bytes;
        }
        bytes.reserve(bytes.len() + 64);
    }
}
