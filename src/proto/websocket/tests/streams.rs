//! Streams in pieces, what is held between them, and hostile ones.

use proptest::prelude::*;

use super::*;

#[test]
fn invalid_text_fails_as_it_arrives() {
    let mut payload = vec![b'a'; 1_000];
    payload[500] = 0xFF;
    for first in [0x81, 0x01] {
        let bytes = frame(first, &payload);
        let header_bytes = bytes.len() - payload.len();
        assert_eq!(hear([&bytes[..header_bytes + 500]], MAX, None).0, []);
        assert_eq!(hear([&bytes[..header_bytes + 501]], MAX, None).0, NO_TEXT);
        assert_eq!(
            hear(bytes[..header_bytes + 501].chunks(1), MAX, None).0,
            NO_TEXT
        );
    }
    assert_eq!(hear([&frame(0x01, &payload)[..]], MAX, None).0, NO_TEXT);
    assert_eq!(
        hear(
            [&frame(0x01, b"\xF0\x9F\x98")[..], &frame(0x00, b"a")],
            MAX,
            None
        )
        .0,
        NO_TEXT
    );
}

#[test]
fn room_grows_with_what_arrived() {
    let bytes = frame(0x82, &vec![7; 900_000]);
    let (heard, decoder) = hear([&bytes[..1_000]], MAX, None);
    assert_eq!(heard, []);
    assert!(
        (1_000..4_000).contains(&decoder.held_bytes()),
        "{}",
        decoder.held_bytes()
    );
}

#[test]
fn empty_fragments_grow_nothing() {
    for first in [0x01, 0x02, 0x01 | RSV1] {
        let stream = [frame(first, b""), frame(0x00, b"").repeat(10_000)].concat();
        let mut deflate = Deflate::default();
        let (heard, decoder) = hear([&stream[..]], MAX, Some(&mut deflate));
        assert_eq!((heard, decoder.held_bytes()), (vec![], size_of::<Held>()));
        let (_, decoder) = hear(stream.chunks(5), MAX, Some(&mut deflate));
        assert_eq!(decoder.held_bytes(), size_of::<Held>());
    }
}

#[test]
fn idle_holds_nothing() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    assert_eq!(Decoder::default().held_bytes(), 0);
    let message = [frame(0x01, b"abc"), frame(0x80, b"def")].concat();
    for stream in [frame(0x81, b"abc"), message, frame(0x8A, b"")] {
        for cut in 0..stream.len() {
            let (heard, decoder) = hear([&stream[..cut], &stream[cut..]], MAX, None);
            assert_eq!((heard.len(), decoder.held_bytes()), (1, 0), "cut at {cut}");
            let (_, decoder) = hear([&stream[..cut]], MAX, None);
            assert_eq!(decoder.held_bytes() > 0, cut > 0, "cut at {cut}");
        }
    }
    let ping = frame(0x89, b"abc");
    for cut in 0..ping.len() {
        assert_eq!(
            hear([&ping[..cut], &ping[cut..], &[]], MAX, None)
                .1
                .held_bytes(),
            0
        );
    }
    let broken = [frame(0x01, &[b'a'; 1_000]), frame(0x81, b"")].concat();
    assert_eq!(hear([&broken[..]], MAX, None).1.held_bytes(), 0);
}

#[test]
fn a_whole_frame_is_borrowed_from_the_input() {
    let mut bytes = [frame(0x81, b"one"), frame(0x82, b"two")].concat();
    let mut decoder = Decoder::default();
    let first = decoder.poll_event(&mut bytes, MAX, None);
    assert!(
        matches!(first, Ok((9, Some(Event::Text(Cow::Borrowed("one")))))),
        "{first:?}"
    );
    let second = decoder.poll_event(&mut bytes[9..], MAX, None);
    assert!(
        matches!(second, Ok((9, Some(Event::Binary(Cow::Borrowed(b"two")))))),
        "{second:?}"
    );
}

#[test]
fn a_bomb_is_bounded_before_and_after_inflation() {
    let mut deflate = Deflate::default();
    let bomb = deflate
        .compress(&vec![0; 10 << 20])
        .expect("zeros compress");
    let half = bomb.len() / 2;
    let fragments = [frame(0x42, &bomb[..half]), frame(0x80, &bomb[half..])].concat();
    for stream in [frame(0xC2, &bomb), fragments] {
        let (heard, decoder) = hear(stream.chunks(1_000), MAX, Some(&mut deflate));
        assert_eq!((heard, decoder.held_bytes()), (BIG.to_vec(), 0));
        assert_eq!(
            hear([&stream[..]], bomb.len() - 1, Some(&mut deflate)).0,
            BIG
        );
        assert_eq!(
            hear([&stream[..]], 10 << 20, Some(&mut deflate)).0,
            [Said::Binary(vec![0; 10 << 20])]
        );
    }
}

#[test]
fn a_stream_of_everything_at_every_pair_of_cuts() {
    let mut deflate = Deflate::default();
    let words = "{\"ac\":\"push\",\"user\":\"*\"}".repeat(12);
    let packed = deflate.compress(words.as_bytes()).expect("words compress");
    let stream = [
        frame(0x81, b"one"),
        frame(0x41, &packed[..10]),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, &packed[10..]),
        masked(0x02, b"\xFF", [1, 2, 3, 4]),
        frame(0x8A, b""),
        frame(0x80, b"\x00"),
        frame(0xC1, &packed),
        frame(0x01, "é".as_bytes().split_at(1).0),
        frame(0x80, "é".as_bytes().split_at(1).1),
        frame(0x88, b"\x0F\xA0end"),
    ]
    .concat();
    let expected = [
        text("one"),
        Said::Ping(b"ping".to_vec()),
        text(&words),
        Said::Pong,
        Said::Binary(vec![0xFF, 0]),
        text(&words),
        text("é"),
        Said::Close(4000, "end".to_owned()),
    ];
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(
                hear(pieces, MAX, Some(&mut deflate)).0,
                expected,
                "cut at {first} and {second}"
            );
        }
    }
    assert_eq!(hear(stream.chunks(1), MAX, Some(&mut deflate)).0, expected);
}

#[test]
fn sizes_at_which_the_length_changes_its_form() {
    for (index, len) in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537]
        .into_iter()
        .enumerate()
    {
        let payload: Vec<u8> = (0..len)
            .map(|at: usize| b' ' + (at * 7 % 90) as u8)
            .collect();
        let mask = [index as u8, 0xA5, 0x5A, 0xFF];
        let expected = [
            Said::Binary(payload.clone()),
            Said::Text(String::from_utf8_lossy(&payload).into_owned()),
        ];
        let stream = [masked(0x82, &payload, mask), masked(0x81, &payload, mask)].concat();
        for piece_bytes in [usize::MAX, 4_096, 1_000, 13] {
            assert_eq!(
                hear(stream.chunks(piece_bytes), MAX, None).0,
                expected,
                "{len} by {piece_bytes}"
            );
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_the_peers_encoder(
        payload in prop::collection::vec(any::<u8>(), 0..400),
        mask in any::<[u8; 4]>(),
        cuts in prop::collection::vec(0..400usize, 0..4),
        piece_bytes in 1..500usize,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(payload.len())).collect();
        cuts.extend([0, payload.len()]);
        cuts.sort_unstable();
        let last = cuts.len() - 2;
        let fragments = |opcode: u8| -> Vec<u8> {
            let first = |index| if index == 0 { opcode } else { 0 } | if index == last { FIN } else { 0 };
            cuts.windows(2).enumerate().flat_map(|(index, cut)| masked(first(index), &payload[cut[0]..cut[1]], mask)).collect()
        };
        prop_assert_eq!(hear(fragments(2).chunks(piece_bytes), MAX, None).0, vec![Said::Binary(payload.clone())]);
        let expected = String::from_utf8(payload.clone()).map_or(Said::Broke(1007), Said::Text);
        prop_assert_eq!(hear(fragments(1).chunks(piece_bytes), MAX, None).0, vec![expected]);
    }

    #[test]
    fn any_bytes_are_used_up_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), piece_bytes in 1..50usize) {
        let mut deflate = Deflate::default();
        let whole = hear([&bytes[..]], 1_000, Some(&mut deflate)).0;
        prop_assert_eq!(hear(bytes.chunks(piece_bytes), 1_000, Some(&mut deflate)).0, whole);
    }

    /// Headers that are often right, so that the states behind them are reached.
    #[test]
    fn likely_frames_in_any_pieces_say_the_same(
        frames in prop::collection::vec(
            (prop::sample::select(vec![0x00, 0x01, 0x02, 0x41, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1]),
             prop::collection::vec(prop_oneof![Just(b'a'), Just(0u8), Just(3), 0x80..0xF5u8], 0..6)),
            0..8,
        ),
        pieces in (1..9usize, 1..9usize),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        let mut deflate = Deflate::default();
        let whole = hear([&stream[..]], 20, Some(&mut deflate)).0;
        prop_assert_eq!(hear(stream.chunks(pieces.0), 20, Some(&mut deflate)).0, &whole[..]);
        prop_assert_eq!(hear(stream.chunks(pieces.1), 20, Some(&mut deflate)).0, &whole[..]);
    }
}
