//! Text that arrives in pieces, judged as it arrives (RFC 6455, 8.1). Never a frame or a close code.

/// The bytes so far cannot become UTF-8, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

/// UTF-8 under way: whole characters, then at most three bytes of one whose end is to come.
#[derive(Debug, Default)]
pub struct PartialText {
    whole: String,
    /// The bytes begun, a valid prefix of one character; one more slot completes any of them.
    begun: [u8; 4],
    begun_len: usize,
}

impl PartialText {
    /// Takes the next piece, each byte of which is judged once. Errors: [`InvalidUtf8`] at the first
    /// byte that no valid text can have there; what is held is then of no use.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.begun_len > 0
            && let Some((&first, rest)) = piece.split_first()
        {
            self.complete_begun(first)?;
            piece = rest;
        }
        let (whole, begun) = piece.split_at(piece.len() - begun_len(piece));
        let whole = std::str::from_utf8(whole).map_err(|_| InvalidUtf8)?;
        if !begun.is_empty() {
            ensure_prefix(begun)?;
            self.begun[..begun.len()].copy_from_slice(begun);
            self.begun_len = begun.len();
        }
        self.whole.push_str(whole);
        Ok(())
    }

    /// The whole text. Errors: [`InvalidUtf8`] when it ends inside a character.
    pub fn finish(self) -> Result<String, InvalidUtf8> {
        match self.begun_len {
            0 => Ok(self.whole),
            _ => Err(InvalidUtf8),
        }
    }

    /// Bytes taken so far.
    pub fn len(&self) -> usize {
        self.whole.len() + self.begun_len
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes held.
    pub fn held_bytes(&self) -> usize {
        self.whole.capacity()
    }

    fn complete_begun(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        self.begun[self.begun_len] = byte;
        self.begun_len += 1;
        let begun = &self.begun[..self.begun_len];
        if let Ok(character) = std::str::from_utf8(begun) {
            self.whole.push_str(character);
            self.begun_len = 0;
            return Ok(());
        }
        ensure_prefix(begun)
    }
}

/// How many bytes at the end of `piece` may be a character that is not whole yet: 0 to 3.
fn begun_len(piece: &[u8]) -> usize {
    for (back, &byte) in piece.iter().rev().take(3).enumerate() {
        let character_len = match byte {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        return if character_len > back + 1 {
            back + 1
        } else {
            0
        };
    }
    0
}

/// Errors: [`InvalidUtf8`] unless `begun` only lacks the end of a character.
fn ensure_prefix(begun: &[u8]) -> Result<(), InvalidUtf8> {
    match std::str::from_utf8(begun) {
        Err(error) if error.error_len().is_none() => Ok(()),
        _ => Err(InvalidUtf8),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pushes byte by byte; the index of the byte refused, or the text.
    fn drip(bytes: &[u8]) -> Result<Result<String, InvalidUtf8>, usize> {
        let mut text = PartialText::default();
        for (index, byte) in bytes.iter().enumerate() {
            text.push(std::slice::from_ref(byte)).map_err(|_| index)?;
        }
        Ok(text.finish())
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], at: usize) {
        assert_eq!(drip(bytes), Err(at), "dripped {bytes:x?}");
        for cut in 0..=at {
            let mut text = PartialText::default();
            assert_eq!(text.push(&bytes[..cut]), Ok(()), "{bytes:x?} cut at {cut}");
            assert_eq!(
                text.push(&bytes[cut..=at]),
                Err(InvalidUtf8),
                "{bytes:x?} cut at {cut}"
            );
        }
    }

    #[test]
    fn refuses_at_the_first_impossible_byte() {
        check_refused(b"\x80", 0);
        check_refused(b"a\xBF", 1);
        check_refused(b"\xC0\x80", 0);
        check_refused(b"\xC1\xBF", 0);
        check_refused(b"\xE0\x80\x80", 1);
        check_refused(b"\xED\xA0\x80", 1);
        check_refused(b"\xF0\x80\x80\x80", 1);
        check_refused(b"\xF4\x90\x80\x80", 1);
        check_refused(b"\xF5\x80\x80\x80", 0);
        check_refused(b"\xFF", 0);
        check_refused(b"\xE4\xBDa", 2);
        check_refused(b"\xF0\x9F\x98a", 3);
        check_refused(b"\xF0\x9F\x98\xC3", 3);
        check_refused(&["κόσμε\u{10FFFF}".as_bytes(), b"\xED\xA0"].concat(), 15);
    }

    #[test]
    fn every_split_of_valid_text_gives_it_back() {
        let text = "a\u{7F}\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}订单z";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut partial = PartialText::default();
                let bytes = text.as_bytes();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    assert_eq!(partial.push(piece), Ok(()));
                }
                assert_eq!(partial.len(), text.len());
                assert_eq!(partial.finish().as_deref(), Ok(text));
            }
        }
    }

    #[test]
    fn an_unfinished_character_fails_at_the_end_only() {
        for unfinished in [&b"a\xC3"[..], b"\xE4\xBD", b"\xF0\x9F\x98"] {
            assert_eq!(drip(unfinished), Ok(Err(InvalidUtf8)));
        }
        assert_eq!(drip(b""), Ok(Ok(String::new())));
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xC0u8, 0xE0..0xF5u8], 0..12),
            cut in 0..12usize,
        ) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut text = PartialText::default();
            let pieces = text.push(first).and_then(|()| text.push(second)).and_then(|()| text.finish());
            prop_assert_eq!(pieces.ok(), String::from_utf8(bytes.clone()).ok());
            let impossible = std::str::from_utf8(&bytes).err().and_then(|error| error.error_len().map(|_| error.valid_up_to()));
            prop_assert_eq!(drip(&bytes).is_err(), impossible.is_some());
        }
    }
}
