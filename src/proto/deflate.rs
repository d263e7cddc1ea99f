//! permessage-deflate without context takeover (RFC 7692): one compressor and one inflater
//! serve all connections, made at first use. Never a frame.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::limits::DEFLATE_FINAL_BLOCKS_MAX;
use crate::proto::websocket::{TOO_BIG, Violation};

/// What a sender removes from the end of a message (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// An empty final block: only where the blocks before it are whole does the stream end just behind it.
const END: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];
/// Room tried first, as a multiple of the compressed size, and the growth when it was too little.
const EXPANSION: usize = 4;

/// The shared compressor and inflater.
#[derive(Default)]
pub struct Deflate {
    compressor: Option<Compress>,
    inflater: Option<Decompress>,
}

impl Deflate {
    /// Compresses one message; `None` when that does not make it smaller.
    pub fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let compressor = self
            .compressor
            .get_or_insert_with(|| Compress::new(Compression::fast(), false));
        compressor.reset();
        // A result that is smaller leaves a byte of this room, so a full buffer means that it is not.
        let mut compressed = Vec::with_capacity(payload.len() + TAIL.len());
        let status = compressor.compress_vec(payload, &mut compressed, FlushCompress::Sync);
        let is_whole = status.is_ok()
            && compressor.total_in() == payload.len() as u64
            && compressed.len() < payload.len() + TAIL.len()
            && compressed.ends_with(&TAIL);
        if !is_whole {
            return None;
        }
        compressed.truncate(compressed.len() - TAIL.len());
        Some(compressed)
    }

    /// Inflates one message. 1009 beyond `message_bytes_max`, 1007 when it is not valid deflate.
    /// Several final blocks, each with more behind it, are legal (RFC 7692, 7.2.1), up to
    /// [`DEFLATE_FINAL_BLOCKS_MAX`].
    pub fn inflate(
        &mut self,
        compressed: &[u8],
        message_bytes_max: usize,
    ) -> Result<Vec<u8>, Violation> {
        let inflater = self.inflater.get_or_insert_with(|| Decompress::new(false));
        let stream = [compressed, &TAIL, &END].concat();
        let mut message = Vec::new();
        let mut at = 0;
        for _ in 0..DEFLATE_FINAL_BLOCKS_MAX {
            at += inflate_blocks(inflater, &stream[at..], &mut message, message_bytes_max)?;
            // All is read when the sender's own last block was final, and else when ours was.
            if at == compressed.len() || at == stream.len() {
                return Ok(message);
            }
        }
        Err(INVALID)
    }
}

impl std::fmt::Debug for Deflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deflate")
    }
}

const INVALID: Violation = Violation {
    code: 1007,
    reason: "invalid compressed data",
};

/// Appends what `stream` holds up to the end of its first final block, and says where that is.
///
/// It is inflated in one go into room of growing size, each time from the start: only then are
/// references to before the message's first byte refused (a sliding window would read zeros).
fn inflate_blocks(
    inflater: &mut Decompress,
    stream: &[u8],
    message: &mut Vec<u8>,
    message_bytes_max: usize,
) -> Result<usize, Violation> {
    let start = message.len();
    let mut room_bytes = stream.len().saturating_mul(EXPANSION);
    loop {
        // One byte beyond the bound tells a message that fits from one that does not.
        let room_bytes_max = message_bytes_max.saturating_add(1) - start;
        message.reserve_exact(room_bytes.min(room_bytes_max));
        inflater.reset(false);
        let status = inflater
            .decompress_vec(stream, message, FlushDecompress::Finish)
            .map_err(|_| INVALID)?;
        if message.len() > message_bytes_max {
            return Err(TOO_BIG);
        }
        if status == Status::StreamEnd {
            return usize::try_from(inflater.total_in()).map_err(|_| INVALID);
        }
        if message.len() < message.capacity() {
            return Err(INVALID);
        }
        room_bytes = (message.len() - start).saturating_mul(EXPANSION);
        message.truncate(start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 20;

    #[track_caller]
    fn check(compressed: &[u8], expected: &[u8]) {
        assert_eq!(
            Deflate::default().inflate(compressed, MAX).as_deref(),
            Ok(expected)
        );
    }

    #[track_caller]
    fn check_refused(compressed: &[u8], message_bytes_max: usize, code: u16) {
        let answer = Deflate::default().inflate(compressed, message_bytes_max);
        assert_eq!(answer.map_err(|violation| violation.code), Err(code));
    }

    fn text(len: usize) -> Vec<u8> {
        (0..)
            .flat_map(|n: u32| format!("{{\"id\":{n},\"msg\":\"order\"}}").into_bytes())
            .take(len)
            .collect()
    }

    /// Bytes without structure (xorshift), which do not compress.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..len).map(step).collect()
    }

    /// One raw deflate stream that ends in a final block.
    fn final_stream(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(payload.len() + 64);
        let status = Compress::new(Compression::fast(), false).compress_vec(
            payload,
            &mut out,
            FlushCompress::Finish,
        );
        assert_eq!(status.ok(), Some(Status::StreamEnd));
        out
    }

    #[test]
    fn the_examples_of_the_rfc() {
        check(b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"Hello");
        check(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello");
        check(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello");
        check(
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            b"Hello",
        );
        check(b"\x00", b"");
    }

    #[test]
    fn final_blocks() {
        let hello = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
        check(hello, b"Hello");
        check(&[&hello[..], hello].concat(), b"HelloHello");
        check(
            &[&hello[..], &[0x00], &TAIL, b"\xf2\x48\xcd\xc9\xc9\x07\x00"].concat(),
            b"HelloHello",
        );
        check(b"\x00\x01\x00\xfe\xff\x48\x01", b"H");
        check(&final_stream(&text(100_000)), &text(100_000));
        check_refused(&[&hello[..], b"garbage"].concat(), MAX, 1007);
        check_refused(&[&hello[..], b"\xff"].concat(), MAX, 1007);
    }

    #[test]
    fn endless_final_blocks_are_refused() {
        let empty = [0x03, 0x00];
        check(&empty.repeat(DEFLATE_FINAL_BLOCKS_MAX), b"");
        check_refused(&empty.repeat(DEFLATE_FINAL_BLOCKS_MAX + 1), MAX, 1007);
        check_refused(&empty.repeat(500_000), MAX, 1007);
    }

    #[test]
    fn what_is_not_deflate() {
        check_refused(b"", MAX, 1007);
        check_refused(b"\xff\xff\xff\xff", MAX, 1007);
        check_refused(b"Hello", MAX, 1007);
        // A final stored block that lacks its bytes.
        for len in [1, 2, 3, 5, 6, 7, 8] {
            check_refused(&[0x01, len, 0x00, !len, 0xff], MAX, 1007);
        }
        check_refused(&noise(5_000), MAX, 1007);
        // A fixed block: the letter H, then a copy from 257 bytes back, where there is nothing.
        check_refused(b"\xf2\x00\x31\x00\x00", MAX, 1007);
    }

    #[test]
    fn a_cut_stream_is_refused_at_every_length() {
        let whole = Deflate::default()
            .compress(&text(2_000))
            .expect("text compresses");
        check(&whole, &text(2_000));
        for len in 0..whole.len() - 1 {
            assert!(
                Deflate::default().inflate(&whole[..len], MAX).is_err(),
                "cut to {len} of {}",
                whole.len()
            );
        }
    }

    #[test]
    fn compresses_only_what_gets_smaller() {
        let mut deflate = Deflate::default();
        for len in [0, 1, 2, 5, 100, 256, 5_000, 70_000, 500_000] {
            assert_eq!(deflate.compress(&noise(len)), None, "noise of {len}");
        }
        for len in [
            256, 257, 1_000, 31_999, 32_768, 65_535, 65_536, 300_000, MAX,
        ] {
            let compressed = deflate.compress(&text(len)).unwrap_or_default();
            assert!(
                !compressed.is_empty() && compressed.len() < len / 2,
                "{len} became {}",
                compressed.len()
            );
            assert_eq!(deflate.inflate(&compressed, len), Ok(text(len)));
            check_refused(&compressed, len - 1, 1009);
        }
    }

    #[test]
    fn a_message_leaves_nothing_behind() {
        let mut deflate = Deflate::default();
        let first = deflate.compress(&text(5_000));
        assert!(deflate.compress(&[b'x'; 40_000]).is_some());
        assert_eq!(deflate.compress(&text(5_000)), first);
        assert_eq!(deflate.compress(&noise(300)), None);
        assert_eq!(deflate.compress(&text(5_000)), first);

        let first = first.unwrap_or_default();
        assert!(deflate.inflate(&first[..first.len() / 2], MAX).is_err());
        assert_eq!(deflate.inflate(&first, MAX), Ok(text(5_000)));
        assert_eq!(
            deflate
                .inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", MAX)
                .as_deref(),
            Ok(&b"Hello"[..])
        );
    }

    #[test]
    fn a_bomb_takes_no_more_than_its_bound() {
        let mut deflate = Deflate::default();
        let bomb = deflate.compress(&vec![0; 10 << 20]).unwrap_or_default();
        assert!(
            !bomb.is_empty() && bomb.len() < 64 << 10,
            "{} bytes",
            bomb.len()
        );
        check_refused(&bomb, 1 << 20, 1009);
        check_refused(&bomb, 0, 1009);
        check_refused(&bomb, (10 << 20) - 1, 1009);
        let whole = deflate.inflate(&bomb, 10 << 20);
        assert!(
            whole.is_ok_and(|zeros| zeros.len() == 10 << 20 && zeros.capacity() <= (10 << 20) + 1)
        );
        assert_eq!(Deflate::default().inflate(b"\x00", 0), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_stay_within_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..300), max in 0..2_000usize) {
            if let Ok(message) = Deflate::default().inflate(&bytes, max) {
                prop_assert!(message.len() <= max && message.capacity() <= max + 1);
            }
        }

        #[test]
        fn what_was_compressed_inflates(words in prop::collection::vec("[a-c]{0,40}|\\PC{0,20}", 0..60)) {
            let payload = words.concat().into_bytes();
            let mut deflate = Deflate::default();
            if let Some(compressed) = deflate.compress(&payload) {
                prop_assert!(compressed.len() < payload.len());
                prop_assert_eq!(deflate.inflate(&compressed, payload.len()), Ok(payload));
            }
        }
    }
}
