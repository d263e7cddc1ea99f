//! A request's body: sized or chunked, read piece by piece with every size bounded. Never what
//! the bytes mean.

use crate::proto::request::HttpError;

/// How a body is delimited (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length` bytes.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Reads one body out of a stream of pieces.
#[derive(Debug)]
pub struct BodyReader {
    _todo: (),
}

impl BodyReader {
    /// A reader for `framing`. 413 at once when a sized body is larger than `body_bytes_max`.
    pub fn new(framing: Framing, body_bytes_max: usize) -> Result<Self, HttpError> {
        let _ = (framing, body_bytes_max);
        todo!()
    }

    /// Takes body bytes from the front of `input`, appends their data to `out`, and says how many
    /// bytes of `input` were used and whether the body is complete (trailers dropped). Memory for
    /// `out` is reserved as data arrives, not as it is announced.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), HttpError> {
        let _ = (input, out);
        todo!()
    }
}
