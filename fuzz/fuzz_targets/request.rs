//! A connection's stream of requests: heads, targets, names of calls, bodies. However it is cut
//! into pieces it says the same, and it ends at the same error.
#![no_main]

use std::mem::MaybeUninit;

use jdserver::call::{name, shape::Shape};
use jdserver::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use jdserver::proto::body::{BodyReader, Framing};
use jdserver::proto::form::Form;
use jdserver::proto::handshake;
use jdserver::proto::request::{self, Head, HttpError};
use jdserver_fuzz::ways_to_cut;
use libfuzzer_sys::fuzz_target;

const BODY_BYTES_MAX: usize = 4 << 10;

/// What is remembered of a request, in text, and its body.
type Facts = (String, Vec<u8>);

enum Stage {
    Head {
        scanned: usize,
    },
    Body {
        head: String,
        reader: BodyReader,
        body: Vec<u8>,
    },
    Upgraded,
}

struct Stream {
    buffer: Vec<u8>,
    stage: Stage,
    requests: Vec<Facts>,
}

impl Stream {
    /// Takes a piece and uses what can be used.
    fn feed(&mut self, piece: &[u8]) -> Result<(), HttpError> {
        self.buffer.extend_from_slice(piece);
        while self.step()? {}
        Ok(())
    }

    /// One step; false when more bytes are needed.
    fn step(&mut self) -> Result<bool, HttpError> {
        match &mut self.stage {
            Stage::Upgraded => Ok(false),
            Stage::Head { scanned } => {
                let Some(end) = request::find_end(&self.buffer, *scanned, HEAD_BYTES_MAX)? else {
                    *scanned = self.buffer.len();
                    return Ok(false);
                };
                let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
                let head = request::parse(&self.buffer[..end], &mut slots)?;
                check_head(&head);
                let facts = format!("{head:?}");
                self.stage = if head.upgrade {
                    Stage::Upgraded
                } else {
                    Stage::Body {
                        head: facts,
                        reader: BodyReader::new(head.framing, BODY_BYTES_MAX)?,
                        body: Vec::new(),
                    }
                };
                self.buffer.drain(..end);
                Ok(true)
            }
            Stage::Body { head, reader, body } => {
                let (used, whole) = reader.read(&self.buffer, body)?;
                assert!(body.len() <= BODY_BYTES_MAX && body.capacity() <= 2 * BODY_BYTES_MAX);
                assert!(whole || used == self.buffer.len());
                self.buffer.drain(..used);
                if whole {
                    self.requests
                        .push((std::mem::take(head), std::mem::take(body)));
                    self.stage = Stage::Head { scanned: 0 };
                }
                Ok(whole)
            }
        }
    }
}

/// What must hold for any head that was accepted.
fn check_head(head: &Head<'_, '_>) {
    assert!(head.path == "*" || head.path.starts_with('/'));
    assert!(!head.upgrade || matches!(head.framing, Framing::None | Framing::Sized(0)));
    if head.upgrade
        && let Ok(upgrade) = handshake::accept(head, true)
    {
        let mut answer = Vec::new();
        handshake::write_answer(&mut answer, "now", &upgrade);
        assert!(answer.ends_with(b"\r\n\r\n"));
    }
    let Ok(path) = request::decode_path(head.path) else {
        return;
    };
    assert!(path.starts_with('/') && !path.contains('\0'));
    assert!(
        path.split('/').all(|part| part != "." && part != ".."),
        "{path:?}"
    );
    let query = Form::parse(head.query.as_bytes());
    let _ = name::resolve(head.method, &path, &query);
    let _ = Shape::new(&query, None);
}

fn read(data: &[u8], pieces: &[usize]) -> (Vec<Facts>, Option<HttpError>) {
    let mut stream = Stream {
        buffer: Vec::new(),
        stage: Stage::Head { scanned: 0 },
        requests: Vec::new(),
    };
    let mut rest = data;
    for &piece in pieces {
        let (piece, behind) = rest.split_at(piece);
        rest = behind;
        if let Err(error) = stream.feed(piece) {
            return (stream.requests, Some(error));
        }
    }
    (stream.requests, None)
}

fuzz_target!(|data: &[u8]| {
    let [whole, cuts @ ..] = ways_to_cut(data);
    let expected = read(data, &whole);
    for pieces in cuts {
        assert_eq!(read(data, &pieces), expected, "cut into {pieces:?}");
    }
});
