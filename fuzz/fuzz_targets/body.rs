//! Bodies, sized and chunked: any cut gives the same, memory stays bounded, and what a sender cut
//! into chunks comes out whole.
#![no_main]

use jdserver::proto::body::{BodyReader, Framing};
use jdserver::proto::request::HttpError;
use jdserver_fuzz::ways_to_cut;
use libfuzzer_sys::fuzz_target;

const BODY_BYTES_MAX: usize = 8 << 10;

/// The data, how much of the stream was used, and whether the body is complete.
type Outcome = Result<(Vec<u8>, usize, bool), HttpError>;

fn read(framing: Framing, stream: &[u8], pieces: &[usize]) -> Outcome {
    let mut reader = BodyReader::new(framing, BODY_BYTES_MAX)?;
    let (mut body, mut at) = (Vec::new(), 0);
    for &piece in pieces {
        let (used, whole) = reader.read(&stream[at..at + piece], &mut body)?;
        assert!(
            body.len() <= BODY_BYTES_MAX && body.capacity() <= BODY_BYTES_MAX.max(2 * body.len())
        );
        at += used;
        if whole {
            return Ok((body, at, true));
        }
        assert_eq!(used, piece, "an incomplete body uses all there is");
    }
    Ok((body, at, false))
}

/// `content` as a sender with these chunks writes it, extensions and trailers included.
fn chunked(content: &[u8], pieces: &[usize]) -> Vec<u8> {
    let (mut stream, mut rest) = (Vec::new(), content);
    for (i, &piece) in pieces.iter().enumerate() {
        let (data, behind) = rest.split_at(piece);
        rest = behind;
        let extension = if i == 1 { " ;name=\"v\"" } else { "" };
        stream.extend_from_slice(format!("{piece:x}{extension}\r\n").as_bytes());
        stream.extend_from_slice(data);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"000\r\nTrailer: dropped\r\n\r\n");
    stream
}

fuzz_target!(|data: &[u8]| {
    if data.is_empty() {
        return;
    }
    let [whole, cuts @ ..] = ways_to_cut(data);
    for framing in [
        Framing::None,
        Framing::Chunked,
        Framing::Sized(data.len() as u64),
        Framing::Sized(data.len() as u64 / 2),
        Framing::Sized(data.len() as u64 + 1),
    ] {
        let expected = read(framing, data, &whole);
        for pieces in &cuts {
            assert_eq!(
                read(framing, data, pieces),
                expected,
                "{framing:?} cut into {pieces:?}"
            );
        }
    }
    if data.len() > BODY_BYTES_MAX {
        return;
    }
    for pieces in cuts.iter().chain([&whole]) {
        let stream = chunked(data, pieces);
        let outcome = read(Framing::Chunked, &stream, &[stream.len()]);
        assert_eq!(outcome, Ok((data.to_vec(), stream.len(), true)));
    }
});
