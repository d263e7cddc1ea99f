use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 16;

/// Data, bytes used and completeness, or the status; from pieces cut at `cuts` (ascending).
fn run(
    framing: Framing,
    max: usize,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, usize, bool), u16> {
    let mut reader = BodyReader::new(framing, max).map_err(|e| e.status)?;
    let (mut out, mut used_total, mut done, mut from) = (Vec::new(), 0, false, 0);
    for &to in cuts.iter().chain([&input.len()]) {
        let (used, complete) = reader
            .read(&input[from..to], &mut out)
            .map_err(|e| e.status)?;
        used_total += used;
        done = complete;
        if done {
            break;
        }
        assert_eq!(used, to - from, "an incomplete body takes all input");
        from = to;
    }
    Ok((out, used_total, done))
}

/// The result, which must be the same whole, at every split point and byte by byte.
#[track_caller]
fn run_split(framing: Framing, max: usize, input: &[u8]) -> Result<(Vec<u8>, usize, bool), u16> {
    let whole = run(framing, max, input, &[]);
    for cut in 0..=input.len() {
        assert_eq!(run(framing, max, input, &[cut]), whole, "cut at {cut}");
    }
    let every: Vec<usize> = (0..input.len()).collect();
    assert_eq!(run(framing, max, input, &every), whole, "byte by byte");
    whole
}

#[track_caller]
fn check(input: &str, data: &str, behind: &str) {
    let used = input.len() - behind.len();
    assert_eq!(
        run_split(Framing::Chunked, MAX, input.as_bytes()),
        Ok((data.into(), used, true)),
        "{input:?}"
    );
}

#[track_caller]
fn check_partial(input: &str, data: &str) {
    let expected = Ok((data.into(), input.len(), false));
    assert_eq!(
        run_split(Framing::Chunked, MAX, input.as_bytes()),
        expected,
        "{input:?}"
    );
}

#[track_caller]
fn check_error(input: &str, status: u16) {
    assert_eq!(
        run_split(Framing::Chunked, MAX, input.as_bytes()),
        Err(status),
        "{input:?}"
    );
}

#[test]
fn sized_bodies() {
    assert_eq!(run_split(Framing::None, MAX, b"GET"), Ok((vec![], 0, true)));
    assert_eq!(
        run_split(Framing::Sized(0), MAX, b"GET"),
        Ok((vec![], 0, true))
    );
    assert_eq!(
        run_split(Framing::Sized(3), MAX, b"abcGET"),
        Ok((b"abc".to_vec(), 3, true))
    );
    assert_eq!(
        run_split(Framing::Sized(3), MAX, b"ab"),
        Ok((b"ab".to_vec(), 2, false))
    );
    assert_eq!(
        run_split(Framing::Sized(3), 3, b"abc"),
        Ok((b"abc".to_vec(), 3, true))
    );
    assert_eq!(run_split(Framing::Sized(4), 3, b""), Err(413));
    assert_eq!(
        run_split(Framing::Sized(u64::MAX), usize::MAX - 1, b""),
        Err(413)
    );
}

#[test]
fn chunked_bodies() {
    check("0\r\n\r\n", "", "");
    check("5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /");
    check("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello", "");
    check(
        "a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n",
        "01234567890123456789",
        "",
    );
    check("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x", "");
    check("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", "");
    check("1;a=b\r\nx\r\n0;last\r\n\r\n", "x", "");
    check("1 \t;a=\"b;c\"\r\nx\r\n0\r\n\r\n", "x", "");
    check("1;ä\r\nx\r\n0\r\n\r\n", "x", "");
    check("0\r\nA: b\r\nX-y:\r\nZ: \t ü\r\n\r\nnext", "", "next");
    check_partial("", "");
    check_partial("5", "");
    check_partial("5\r\nhel", "hel");
    check_partial("1\r\nx\r\n", "x");
    check_partial("1\r\nx\r\n0\r\n", "x");
    check_partial("1\r\nx\r\n0\r\n\r", "x");
    check_partial("0\r\nA: b\r\n", "");
}

#[test]
fn broken_chunks() {
    for input in [
        "\r\n",
        "\n",
        "x\r\n",
        " 1\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        ";a\r\n",
        "1\n",
        "1\r\r\n",
        "1\rx",
        "1 \r\n",
        "1 1\r\n",
        "1\u{b}\r\n",
        "1_0\r\n",
        "1,\r\n",
        "1;a\n",
        "1;a\r;",
        "1;\0\r\n",
        "1;\u{7f}\r\n",
        "1;a\u{1b}\r\n",
        "00000000000000001\r\n",
        "1\r\nxx\r\n",
        "1\r\nx\n",
        "1\r\nx\r0",
        "1\r\nx0\r\n",
        "2\r\nx\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\n: b\r\n",
        "0\r\nA\r\n",
        "0\r\nA : b\r\n",
        "0\r\n A: b\r\n",
        "0\r\nA: b\n",
        "0\r\nA: b\rc",
        "0\r\nA: \0\r\n",
        "0\r\nA: b\r\n c\r\n",
        "0\r\nä: b\r\n",
        "0\r\nA:\u{7f}",
    ] {
        check_error(input, 400);
    }
}

#[test]
fn sizes_are_bounded() {
    let run_max =
        |max, input: &str| run_split(Framing::Chunked, max, input.as_bytes()).map(|r| r.0.len());
    assert_eq!(run_max(3, "3\r\nabc\r\n0\r\n\r\n"), Ok(3));
    assert_eq!(run_max(3, "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), Ok(3));
    assert_eq!(run_max(3, "4\r\n"), Err(413));
    assert_eq!(run_max(3, "2\r\nab\r\n2\r\n"), Err(413));
    assert_eq!(run_max(0, "0\r\n\r\n"), Ok(0));
    assert_eq!(run_max(MAX, "ffffffffffffffff\r\n"), Err(413));
    assert_eq!(run_max(MAX, "1\r\nx\r\nffffffffffffffff\r\n"), Err(413));
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let extension = |bytes: usize| format!("1;{}\r\nx\r\n", "e".repeat(bytes - 1));
    let longest = extension(CHUNK_EXTENSION_BYTES_MAX);
    let run_once =
        |input: &str| run(Framing::Chunked, MAX, input.as_bytes(), &[]).map(|r| r.0.len());
    assert_eq!(run_once(&longest), Ok(1));
    assert_eq!(
        run_once(&extension(CHUNK_EXTENSION_BYTES_MAX + 1)),
        Err(400)
    );
    assert_eq!(
        run_once(&format!("1{};\r\n", " ".repeat(CHUNK_EXTENSION_BYTES_MAX))),
        Err(400)
    );
    let times = CHUNK_EXTENSIONS_BYTES_MAX / CHUNK_EXTENSION_BYTES_MAX;
    assert_eq!(run_once(&longest.repeat(times)), Ok(times));
    assert_eq!(run_once(&longest.repeat(times + 1)), Err(400));

    let trailer = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "t".repeat(bytes - 6));
    assert_eq!(run_once(&trailer(TRAILER_BYTES_MAX)), Ok(0));
    assert_eq!(run_once(&trailer(TRAILER_BYTES_MAX + 1)), Err(431));
}

#[test]
fn an_error_stays() {
    let mut reader = BodyReader::new(Framing::Chunked, MAX).expect("no size yet");
    let mut out = Vec::new();
    let error = reader.read(b"1\r\nxy", &mut out);
    assert_eq!(error.map_err(|e| e.status), Err(400));
    assert_eq!(reader.read(b"0\r\n\r\n", &mut out), error);
    assert_eq!(reader.read(b"", &mut out), error);
}

#[test]
fn memory_follows_the_data() {
    let mut out = Vec::new();
    let mut reader = BodyReader::new(Framing::Sized(1 << 30), 1 << 30).expect("within the maximum");
    assert_eq!(reader.read(&[b'x'; 100], &mut out), Ok((100, false)));
    assert!(out.capacity() <= 512, "{}", out.capacity());

    let mut out = Vec::new();
    let mut reader = BodyReader::new(Framing::Chunked, 1 << 30).expect("no size yet");
    assert!(reader.read(b"3fffffff\r\nabc", &mut out).is_ok());
    assert!(out.capacity() <= 512, "{}", out.capacity());

    let mut out = Vec::new();
    let mut reader = BodyReader::new(Framing::Sized(3_000), 3_000).expect("within the maximum");
    for _ in 0..3_000 {
        assert!(reader.read(b"x", &mut out).is_ok());
    }
    assert_eq!((out.len(), out.capacity()), (3_000, 3_000));
}

/// A chunked body around `pieces`, with an extension on every other chunk.
fn encode(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (at, piece) in pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| !piece.is_empty())
    {
        let extension = if at % 2 == 0 { "" } else { ";e=1" };
        wire.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\nT: x\r\n\r\n");
    wire
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        behind in prop::collection::vec(any::<u8>(), 0..8),
        mut cuts in prop::collection::vec(0usize..200, 0..6),
    ) {
        let mut wire = encode(&pieces);
        let used = wire.len();
        wire.extend_from_slice(&behind);
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(wire.len()));
        cuts.sort_unstable();
        prop_assert_eq!(run(Framing::Chunked, MAX, &wire, &cuts), Ok((pieces.concat(), used, true)));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_split_alike(
        input in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), Just(b';'), any::<u8>()], 0..40),
        max in 0usize..20,
    ) {
        if let Ok((data, _, _)) = run_split(Framing::Chunked, max, &input) {
            prop_assert!(data.len() <= max);
        }
    }

    #[test]
    fn a_damaged_body_splits_alike(at in 0usize..60, byte in any::<u8>()) {
        let mut wire = encode(&[b"hello".to_vec(), b"wide world".to_vec(), vec![b'x'; 17]]);
        let at = at % wire.len();
        wire[at] = byte;
        let _ = run_split(Framing::Chunked, MAX, &wire);
    }
}
