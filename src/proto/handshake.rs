//! The WebSocket opening handshake (RFC 6455, 4; RFC 7692, 7). Never a frame.

use crate::proto::request::{Head, HttpError};

/// A handshake that may be answered with 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
    /// Whether permessage-deflate was agreed (always without context takeover, both ways).
    pub deflate: bool,
}

/// Checks an upgrade request (`head.upgrade` is true): version 13 (else 426), exactly one key of
/// 24 base64 characters that is 16 bytes (else 400). Deflate is agreed when it is allowed here and one of the
/// client's offers can be met; a malformed or impossible offer is declined, not an error.
pub fn accept(head: &Head<'_, '_>, deflate_allowed: bool) -> Result<Upgrade, HttpError> {
    let _ = (head, deflate_allowed);
    todo!()
}

/// Appends the 101 answer to `out`, `Date` included.
pub fn write_answer(out: &mut Vec<u8>, date: &str, upgrade: &Upgrade) {
    let _ = (out, date, upgrade);
    todo!()
}
