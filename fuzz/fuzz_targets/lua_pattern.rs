//! Lua patterns: a search in pieces finds what one in one piece does, and that is the first place where the
//! pattern matches; captures lie in the text; nothing takes more steps than it may. The input is a pattern, a line
//! feed, and a text.
#![no_main]

use jdserver::limits::PATTERN_STEPS_MAX;
use jdserver::proto::lua_pattern::{Capture, Found, Matcher, PatternError};
use libfuzzer_sys::fuzz_target;

/// Steps after which an input is let go: it is legal, and others would wait.
const STEPS_MAX: u64 = 20_000;

/// From where to where the first match goes.
type Place = Result<Option<(usize, usize)>, PatternError>;

/// What a search in turns of so many steps finds; `None` where that takes long.
fn find(text: &[u8], pattern: &[u8], turn: u64) -> Option<Place> {
    let mut matcher = Matcher::new(text, pattern, true);
    let mut from = 0;
    loop {
        let before = matcher.steps();
        let found = matcher.find(from, None, turn);
        assert!(matcher.steps() - before <= turn + PATTERN_STEPS_MAX + 1);
        match found {
            Err(error) => return Some(Err(error)),
            Ok(Found::Nothing) => return Some(Ok(None)),
            Ok(Found::More(_)) if matcher.steps() > STEPS_MAX => return None,
            Ok(Found::More(next)) => {
                assert!(next > from, "it stands still");
                from = next;
            }
            Ok(Found::Match(start, end)) => {
                check_captures(&matcher, text, start, end);
                return Some(Ok(Some((start, end))));
            }
        }
    }
}

fn check_captures(matcher: &Matcher<'_>, text: &[u8], start: usize, end: usize) {
    assert!(start <= end && end <= text.len());
    for index in 0..matcher.captures().max(1) {
        match matcher.capture(index, start, end) {
            Ok(Capture::Text(from, to)) => assert!(start <= from && from <= to && to <= end),
            Ok(Capture::Position(at)) => assert!(start <= at && at <= end),
            Err(error) => assert_eq!(error, PatternError::UnfinishedCapture),
        }
    }
}

/// The first place where the pattern matches, looked for at each.
fn first_place(text: &[u8], pattern: &[u8]) -> Place {
    let anchored = [b"^", pattern].concat();
    for at in 0..=text.len() {
        if let Found::Match(start, end) = Matcher::new(text, &anchored, true).find(at, None, 1)? {
            assert_eq!(start, at);
            return Ok(Some((start, end)));
        }
    }
    Ok(None)
}

/// The text with its special characters escaped, which matches itself.
fn escaped(text: &[u8]) -> Vec<u8> {
    let escape = |&byte: &u8| match byte.is_ascii_punctuation() {
        true => vec![b'%', byte],
        false => vec![byte],
    };
    text.iter().flat_map(escape).collect()
}

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|&byte| byte == b'\n');
    let (pattern, text) = match split {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, input),
    };
    let text = &text[..text.len().min(256)];
    let Some(found) = find(text, pattern, 1) else {
        return;
    };
    assert_eq!(
        find(text, pattern, u64::MAX / 2),
        Some(found),
        "in one piece"
    );
    if pattern.first() != Some(&b'^') {
        let first = first_place(text, pattern);
        // An error is only met where the pattern gets that far.
        if let (Ok(found), Ok(first)) = (found, first) {
            assert_eq!(found, first);
        }
    }
    let itself = Some(Ok(Some((0, text.len()))));
    assert_eq!(find(text, &escaped(text), u64::MAX / 2), itself);
});
