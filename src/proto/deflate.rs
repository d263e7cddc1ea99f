//! permessage-deflate without context takeover (RFC 7692): one compressor and one inflater
//! serve all connections, made at first use. Never a frame.

use crate::proto::websocket::Violation;

/// The shared compressor and inflater.
#[derive(Default)]
pub struct Deflate {
    _todo: (),
}

impl Deflate {
    /// Compresses one message; `None` when that does not make it smaller.
    pub fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let _ = payload;
        todo!()
    }

    /// Inflates one message. 1009 beyond `message_bytes_max`, 1007 when it is not valid deflate.
    pub fn inflate(&mut self, compressed: &[u8], message_bytes_max: usize) -> Result<Vec<u8>, Violation> {
        let _ = (compressed, message_bytes_max);
        todo!()
    }
}

impl std::fmt::Debug for Deflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deflate")
    }
}
