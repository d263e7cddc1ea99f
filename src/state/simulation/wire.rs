//! What a strict client makes of a server's bytes, and the bytes it sends. Never what either means.

use flate2::{Decompress, FlushDecompress, Status};

/// A source of choices: the same for the same seed (splitmix64).
#[derive(Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// One thing a server said.
#[derive(Debug)]
pub enum Said {
    Continue,
    Response {
        status: u16,
        closes: bool,
        body: String,
    },
    Text(String),
    Pong(Vec<u8>),
    Ping,
    Close(u16),
}

/// Reads what a server says on one connection; panics at the first broken rule.
#[derive(Debug, Default)]
pub struct Reader {
    pub websocket: bool,
    pub deflate: bool,
    /// Nothing may follow.
    pub closed: bool,
}

impl Reader {
    /// The first thing said in `bytes`, which hold it whole, and its length.
    pub fn next(&mut self, bytes: &[u8], head_only: bool) -> (Said, usize) {
        assert!(
            !self.closed,
            "bytes behind the last: {:?}",
            String::from_utf8_lossy(bytes)
        );
        if self.websocket {
            self.frame(bytes)
        } else {
            self.response(bytes, head_only)
        }
    }

    fn response(&mut self, bytes: &[u8], head_only: bool) -> (Said, usize) {
        let end = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let rest = line.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status: u16 = rest[..3].parse().expect("a status");
        let (mut length, mut closes, mut date) = (None, false, false);
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    assert!(length.is_none(), "two lengths");
                    length = Some(value.parse::<usize>().expect("a length"));
                }
                "connection" => closes = value == "close",
                "date" => date = true,
                "sec-websocket-extensions" => self.deflate = true,
                _ => {}
            }
        }
        if status == 100 {
            return (Said::Continue, end + 4);
        }
        assert!(date, "an answer without a date");
        let body_len = match status {
            101 => {
                self.websocket = true;
                0
            }
            204 | 304 => 0,
            _ if head_only => 0,
            _ => length.expect("an answer with a length"),
        };
        let body = &bytes[end + 4..][..body_len];
        self.closed = closes;
        let body = String::from_utf8(body.to_vec()).expect("a body of text");
        (
            Said::Response {
                status,
                closes,
                body,
            },
            end + 4 + body_len,
        )
    }

    fn frame(&mut self, bytes: &[u8]) -> (Said, usize) {
        assert!(bytes[0] & 0x80 != 0, "a server's frame is whole");
        assert!(bytes[0] & 0x30 == 0, "reserved bits");
        let (compressed, opcode) = (bytes[0] & 0x40 != 0, bytes[0] & 15);
        assert!(bytes[1] & 0x80 == 0, "a server does not mask");
        let (len, start) = match bytes[1] {
            126 => {
                let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                assert!(len > 125, "a longer length than needed");
                (len, 4)
            }
            127 => {
                let len = u64::from_be_bytes(bytes[2..10].try_into().expect("8 bytes"));
                assert!(len > 0xffff, "a longer length than needed");
                (len as usize, 10)
            }
            len => (usize::from(len), 2),
        };
        let payload = &bytes[start..start + len];
        assert!(
            opcode < 8 || (len <= 125 && !compressed),
            "a control frame's bounds"
        );
        let said = match opcode {
            1 if compressed => {
                assert!(self.deflate, "compression was not agreed");
                let text = inflate(payload);
                assert!(text.len() > payload.len(), "compressed for nothing");
                Said::Text(String::from_utf8(text).expect("UTF-8"))
            }
            1 => Said::Text(String::from_utf8(payload.to_vec()).expect("UTF-8")),
            8 => {
                self.closed = true;
                assert_ne!(len, 1, "half a close code");
                let code = payload
                    .first_chunk()
                    .map_or(1005, |c| u16::from_be_bytes(*c));
                std::str::from_utf8(payload.get(2..).unwrap_or_default()).expect("UTF-8");
                Said::Close(code)
            }
            9 => Said::Ping,
            10 => Said::Pong(payload.to_vec()),
            other => panic!("opcode {other}"),
        };
        (said, start + len)
    }
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    let stream = [payload, &[0, 0, 0xff, 0xff]].concat();
    let status = Decompress::new(false)
        .decompress_vec(&stream, &mut out, FlushDecompress::Sync)
        .expect("a deflate stream");
    assert!(matches!(status, Status::Ok | Status::BufError) && out.len() < 1 << 20);
    out
}

/// A client's frame: `first` is its first byte.
pub fn frame(rng: &mut Rng, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let key = (rng.next() as u32).to_be_bytes();
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    out
}
