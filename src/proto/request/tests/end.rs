use proptest::prelude::*;

use super::*;
use crate::limits::HEAD_BYTES_MAX;

/// `find_end` over `buf` as it grows by `step`.
fn find_dripped(buf: &[u8], step: usize, max: usize) -> Result<Option<usize>, u16> {
    let mut scanned = 0;
    for to in (step..buf.len()).step_by(step).chain([buf.len()]) {
        if let Some(end) = find_end(&buf[..to], scanned, max).map_err(|e| e.status)? {
            return Ok(Some(end));
        }
        scanned = to;
    }
    Ok(None)
}

/// The result, which must be the same whole, at every split point and byte by byte.
#[track_caller]
fn find(buf: &[u8], max: usize) -> Result<Option<usize>, u16> {
    let whole = find_dripped(buf, usize::MAX, max);
    assert_eq!(
        find_dripped(buf, 1, max),
        whole,
        "byte by byte: {:?}",
        String::from_utf8_lossy(buf)
    );
    for cut in 0..buf.len() {
        let first = find_end(&buf[..cut], 0, max).map_err(|e| e.status);
        let split = if first == Ok(None) {
            find_end(buf, cut, max).map_err(|e| e.status)
        } else {
            first
        };
        assert_eq!(
            split,
            whole,
            "cut at {cut}: {:?}",
            String::from_utf8_lossy(buf)
        );
    }
    whole
}

#[test]
fn ends_of_heads() {
    let check = |text: &str, expected| {
        assert_eq!(find(text.as_bytes(), HEAD_BYTES_MAX), expected, "{text:?}")
    };
    check("", Ok(None));
    check("\r", Ok(None));
    check("\r\n\r\n", Ok(None));
    check("GET / HTTP/1.1\r\n", Ok(None));
    check("GET / HTTP/1.1\r\nHost: h\r\n\r", Ok(None));
    check("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Ok(Some(27)));
    check(
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nrest\r\n\r\n\n",
        Ok(Some(27)),
    );
    check("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(22)));
    check("\r\n\r\n\r\nGET", Err(400));
    check("\n", Err(400));
    check("\rG", Err(400));
    check("GET / HTTP/1.1\n\n", Err(400));
    check("GET / HTTP/1.1\r\n\n", Err(400));
    check("\u{16}\u{3}\u{1}", Err(400));
    check("{\"ac\":1}", Err(400));
}

#[test]
fn old_bytes_are_not_looked_at_again() {
    let buf = b"GET / HTTP/1.1\r\n\r\nA: b\nC: d";
    assert_eq!(find_end(buf, 0, HEAD_BYTES_MAX), Ok(Some(18)));
    assert_eq!(find_end(buf, 24, HEAD_BYTES_MAX), Ok(None));
    assert_eq!(find_end(buf, usize::MAX, HEAD_BYTES_MAX), Ok(None));
}

#[test]
fn heads_are_bounded() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(find(head, 27), Ok(Some(27)));
    assert_eq!(find(head, 26), Err(431));
    assert_eq!(find(head, 15), Err(414));
    assert_eq!(find(head, 0), Err(414));
    assert_eq!(find(b"\r\n\r\nGET", 2), Err(414));

    let long = |bytes: usize, tail: &str| format!("GET /{}{tail}", "a".repeat(bytes)).into_bytes();
    let drip = |buf: &[u8]| {
        let whole = find_dripped(buf, usize::MAX, HEAD_BYTES_MAX);
        for step in [1, 7, 1000] {
            assert_eq!(
                find_dripped(buf, step, HEAD_BYTES_MAX),
                whole,
                "steps of {step}"
            );
        }
        whole
    };
    assert_eq!(drip(&long(TARGET_BYTES_MAX - 1, " HTTP/1.1\r\n")), Ok(None));
    assert_eq!(drip(&long(REQUEST_LINE_BYTES_MAX, "")), Err(414));
    assert_eq!(
        drip(&long(REQUEST_LINE_BYTES_MAX, " HTTP/1.1\r\n\r\n")),
        Err(414)
    );
    let headers = long(
        10,
        &format!(
            " HTTP/1.1\r\n{}",
            "A: bcdef\r\n".repeat(HEAD_BYTES_MAX / 10)
        ),
    );
    assert_eq!(drip(&headers), Err(431));
}

#[test]
fn empty_lines_before_a_request() {
    for (text, expected) in [
        ("", Ok(0)),
        ("GET", Ok(0)),
        ("\r", Ok(0)),
        ("\r\n", Ok(2)),
        ("\r\n\r", Ok(2)),
        ("\r\n\r\n", Ok(4)),
        ("\r\n\r\nGET", Ok(4)),
        ("G\r\n", Ok(0)),
        ("\r\n\r\n\r", Err(400)),
        ("\r\n\r\n\n", Err(400)),
        ("\n", Err(400)),
        ("\rG", Err(400)),
        ("\r\r\n", Err(400)),
        ("\r\n\n", Err(400)),
    ] {
        assert_eq!(
            skip_empty_lines(text.as_bytes()).map_err(|e| e.status),
            expected,
            "{text:?}"
        );
    }
}

/// Pieces that make up heads, sound and broken ones.
fn head_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"GET / HTTP/1.1\r\n".to_vec()),
        1 => Just(b"POST http://h/a?b HTTP/1.0\r\n".to_vec()),
        2 => Just(b"Host: h\r\n".to_vec()),
        1 => Just(b"Content-Length: 5\r\n".to_vec()),
        1 => Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        1 => Just(b"Connection: close, upgrade\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn find_end_is_the_same_at_every_split(buf in head_bytes(), max in 0usize..120) {
        let _ = find(&buf, max);
    }

    #[test]
    fn parse_never_panics(buf in head_bytes()) {
        let _ = with_head(&buf, |_| ());
        if let Ok(Some(end)) = find_end(&buf, 0, HEAD_BYTES_MAX) {
            let _ = with_head(&buf[..end], |_| ());
        }
    }

    #[test]
    fn parse_takes_only_what_find_end_finds(buf in head_bytes()) {
        if with_head(&buf, |_| ()).is_ok() {
            prop_assert_eq!(find_end(&buf, 0, HEAD_BYTES_MAX), Ok(Some(buf.len())));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(buf in prop::collection::vec(any::<u8>(), 0..200), path in ".*") {
        let _ = with_head(&buf, |_| ());
        let _ = find(&buf, 100);
        if let Ok(decoded) = decode_path(&path) {
            prop_assert!(decoded.starts_with('/') && !decoded.contains('\0'));
            prop_assert!(decoded.split('/').all(|segment| segment != ".."));
        }
    }
}
