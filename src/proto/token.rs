//! Characters and lists of header fields (RFC 9110, 5.6), for those who read and those who write
//! them. Never a meaning.

static TOKEN_CHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        b += 1;
    }
    table
};

/// Whether `byte` may stand in a method, a field name or another token (RFC 9110, 5.6.2).
pub(super) fn is_token_char(byte: u8) -> bool {
    TOKEN_CHARS[usize::from(byte)]
}

/// Whether `text` is a token: not empty, token characters only.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_char(b))
}

/// Whether `byte` may stand in a field value: no control character but the tab (RFC 9110, 5.5).
pub(super) fn is_field_char(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The elements of a comma list, blanks around them trimmed; empty ones are elements too.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_characters_are_those_of_the_rfc() {
        let separators = b"\"(),/:;<=>?@[\\]{} \t";
        for byte in 0..=255u8 {
            let expected = (0x21..0x7f).contains(&byte) && !separators.contains(&byte);
            assert_eq!(is_token_char(byte), expected, "byte {byte:#x}");
        }
        assert!(!is_token(b""));
        assert!(is_token(b"X-a_b"));
        assert!(!is_token(b"a b"));
    }

    #[test]
    fn lists_keep_empty_elements() {
        let elements: Vec<&[u8]> = list(b" a,\tb ,, c d,").collect();
        assert_eq!(elements, [&b"a"[..], b"b", b"", b"c d", b""]);
        assert_eq!(list(b"").count(), 1);
    }
}
