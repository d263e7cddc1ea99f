//! Patterns: the classification says what fnmatch says, the prefix promises what it must, and
//! no pattern is slow. The input is a pattern, a line feed, and a name.
#![no_main]

use jdserver::limits::{GLOB_BYTES_MAX, NAME_BYTES_MAX};
use jdserver::proto::pattern::{Pattern, fnmatch};
use libfuzzer_sys::fuzz_target;

fn check(pattern: &str, name: &str) {
    let matches = fnmatch(pattern, name);
    let class = Pattern::new(pattern);
    assert_eq!(
        class.matches(name),
        matches,
        "{class:?} and fnmatch disagree about {name:?}"
    );
    match class {
        Pattern::Any => assert!(matches),
        Pattern::Literal(text) => assert!(fnmatch(pattern, &text), "{pattern:?} is not {text:?}"),
        Pattern::Glob { prefix, .. } => {
            assert!(
                !matches || name.starts_with(&*prefix),
                "{prefix:?} promised for {name:?}"
            );
        }
    }
    // A star in front and behind loses no match.
    if matches {
        assert!(fnmatch(&format!("*{pattern}"), name));
        assert!(fnmatch(&format!("*{pattern}"), &format!("front{name}")));
    }
}

/// A name with every special character escaped matches itself and nothing else.
fn check_escaped(name: &str, other: &str) {
    let mut escaped = String::new();
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    assert!(fnmatch(&escaped, name));
    assert_eq!(fnmatch(&escaped, other), name == other);
}

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, text));
    check(pattern, name);
    check(name, pattern);
    check_escaped(name, pattern);
    // What is slow at full length is what libFuzzer's -timeout finds.
    let long =
        |part: &str, bytes_max: usize| part.repeat((bytes_max / part.len().max(1)).min(1_024));
    check(&long(pattern, GLOB_BYTES_MAX), &long(name, NAME_BYTES_MAX));
});
