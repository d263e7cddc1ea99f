//! What the targets share: ways to cut a stream into pieces, and a client's frames.
//!
//! The cuts follow from the bytes themselves, so that a seed or a finding is nothing but the stream.

/// Lengths of pieces that add up to `len`, from a generator seeded with `seed`: mostly short ones.
fn random_pieces(mut seed: u64, len: usize) -> Vec<usize> {
    let mut pieces = Vec::new();
    let mut left = len;
    while left > 0 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let wish = match seed >> 62 {
            0 => 1,
            1 => 1 + (seed >> 40) as usize % 8,
            2 => 1 + (seed >> 40) as usize % 64,
            _ => 1 + (seed >> 40) as usize % 4_096,
        };
        let piece = wish.min(left);
        pieces.push(piece);
        left -= piece;
    }
    pieces
}

/// The ways in which a stream is fed: whole first, byte by byte, and two of its own.
pub fn ways_to_cut(data: &[u8]) -> [Vec<usize>; 4] {
    let seed = data.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    [
        vec![data.len()],
        vec![1; data.len()],
        random_pieces(seed, data.len()),
        random_pieces(!seed, data.len()),
    ]
}

/// A frame as a client sends it, masked. `first` is its first byte: FIN, RSV and opcode.
pub fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
    frame
}
