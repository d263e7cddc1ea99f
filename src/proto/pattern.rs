//! Shell patterns as POSIX fnmatch without flags. Never who they select ([`crate::state::hub`]).

use std::borrow::Cow;

/// What kind of selection a pattern is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern<'a> {
    /// No special character (escapes removed): exactly this name.
    Literal(Cow<'a, str>),
    /// `*` (or a run of them): everyone.
    Any,
    /// A literal prefix (maybe empty) that every match begins with, and the whole pattern.
    Glob {
        /// Escapes removed.
        prefix: Cow<'a, str>,
        /// As written.
        pattern: &'a str,
    },
}

impl<'a> Pattern<'a> {
    /// Classifies one pattern.
    pub fn new(pattern: &'a str) -> Self {
        if memchr::memchr3(b'*', b'?', b'[', pattern.as_bytes()).is_none()
            && !pattern.contains('\\')
        {
            return Pattern::Literal(Cow::Borrowed(pattern));
        }
        if pattern.bytes().all(|byte| byte == b'*') {
            return Pattern::Any;
        }
        let mut elements = Elements::new(pattern);
        let mut prefix = Cow::Borrowed("");
        let mut at = 0;
        while let Some((element, next)) = elements.at(at) {
            let Element::Literal(c) = element else {
                return Pattern::Glob { prefix, pattern };
            };
            match &mut prefix {
                Cow::Borrowed(_) if pattern[at..].starts_with(c) && c != '\\' => {
                    prefix = Cow::Borrowed(&pattern[..next])
                }
                prefix => prefix.to_mut().push(c),
            }
            at = next;
        }
        Pattern::Literal(prefix)
    }

    /// Whether `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Literal(literal) => literal == name,
            Pattern::Any => true,
            Pattern::Glob { pattern, .. } => fnmatch(pattern, name),
        }
    }
}

/// POSIX fnmatch(pattern, name, 0): `*` any run with `/` in it too, `?` one character, `[a-z]`, `[!a]`,
/// `[^a]`, `\x`; an unclosed `[` is literal. O(len(pattern) × len(name)) at worst, never exponential.
/// Where POSIX leaves it open as glibc does: a lone `\` at the end never matches; ranges are by code point; in
/// brackets `\` escapes too and `[:alpha:]` and its like are the ASCII classes.
pub fn fnmatch(pattern: &str, name: &str) -> bool {
    let mut elements = Elements::new(pattern);
    let (mut p, mut n) = (0, 0);
    // Behind the last `*`, and where in the name that rest is tried; earlier stars need no second look.
    let mut retry = None;
    loop {
        let c = name[n..].chars().next();
        match (elements.at(p), c) {
            (Some((Element::Star, next)), _) => {
                if next == pattern.len() {
                    return true;
                }
                retry = Some((next, n));
                p = next;
                continue;
            }
            (Some((element, next)), Some(c)) if elements.fits(&element, c) => {
                p = next;
                n += c.len_utf8();
                continue;
            }
            (None, None) => return true,
            // The name is too short for this rest of the pattern, and will be from any later start.
            (Some(_), None) => return false,
            _ => {}
        }
        let Some((star, start)) = retry else {
            return false;
        };
        n = start + name[start..].chars().next().map_or(0, char::len_utf8);
        p = star;
        retry = Some((star, n));
    }
}

/// One step of a pattern.
enum Element<'p> {
    Star,
    One,
    Literal(char),
    /// What stands between `[` and `]`.
    Bracket(&'p str),
    /// Matches nothing.
    Never,
}

/// Reads a pattern step by step, from any place that a step begins at.
struct Elements<'p> {
    pattern: &'p str,
    /// The first `[` found unclosed.
    unclosed: Option<usize>,
}

impl<'p> Elements<'p> {
    fn new(pattern: &'p str) -> Self {
        Elements {
            pattern,
            unclosed: None,
        }
    }

    /// The element at `at` and where the next one begins.
    fn at(&mut self, at: usize) -> Option<(Element<'p>, usize)> {
        let rest = &self.pattern[at..];
        Some(match rest.as_bytes().first()? {
            b'*' => (Element::Star, at + 1),
            b'?' => (Element::One, at + 1),
            b'\\' => match rest[1..].chars().next() {
                Some(c) => (Element::Literal(c), at + 1 + c.len_utf8()),
                None => (Element::Never, at + 1),
            },
            b'[' => match self.bracket_end(at) {
                Some(end) => (Element::Bracket(&self.pattern[at + 1..end]), end + 1),
                None => (Element::Literal('['), at + 1),
            },
            _ => {
                let c = rest.chars().next()?;
                (Element::Literal(c), at + c.len_utf8())
            }
        })
    }

    fn fits(&self, element: &Element<'_>, c: char) -> bool {
        match element {
            Element::Literal(literal) => *literal == c,
            Element::One => true,
            Element::Bracket(set) => bracket_holds(set, c),
            Element::Star | Element::Never => false,
        }
    }

    /// Where the `]` is that closes the `[` at `open`.
    fn bracket_end(&mut self, open: usize) -> Option<usize> {
        // An unclosed `[` was followed to the end, so a later one can only be closed by the end of a named class
        // that stood inside of it. Without this a pattern full of them would be read once for each.
        if let Some(unclosed) = self.unclosed.filter(|unclosed| open >= *unclosed) {
            let (_, behind) = named_class(&self.pattern[open..]).filter(|_| open > unclosed)?;
            return Some(self.pattern.len() - behind.len() - 1);
        }
        let mut rest = &self.pattern[open + 1..];
        rest = rest.strip_prefix(['!', '^']).unwrap_or(rest);
        let mut first = true;
        while !rest.is_empty() {
            if rest.starts_with(']') && !first {
                return Some(self.pattern.len() - rest.len());
            }
            first = false;
            match named_class(rest) {
                Some((_, behind)) => rest = behind,
                None => {
                    range(&mut rest);
                }
            }
        }
        self.unclosed = Some(open);
        None
    }
}

/// Whether `c` is in a bracket expression, given without its `[` and `]`.
fn bracket_holds(set: &str, c: char) -> bool {
    let (negated, mut rest) = match set.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, set),
    };
    let mut found = false;
    while !rest.is_empty() {
        if let Some((class, behind)) = named_class(rest) {
            match class_holds(class, c) {
                Some(holds) => found |= holds,
                // As in glibc: an unknown class makes the whole expression match nothing.
                None if !found => return false,
                None => {}
            }
            rest = behind;
            continue;
        }
        let (low, high) = range(&mut rest);
        found |= low <= Some(c) && Some(c) <= high;
    }
    found != negated
}

/// Takes the next character or range of a bracket expression, given with its `]` or without.
fn range(rest: &mut &str) -> (Option<char>, Option<char>) {
    let low = member(rest);
    match rest.strip_prefix('-') {
        Some(behind) if !behind.is_empty() && !behind.starts_with(']') => {
            *rest = behind;
            (low, member(rest))
        }
        _ => (low, low),
    }
}

/// Takes the next character of a bracket expression, or the one that `\` escapes.
fn member(rest: &mut &str) -> Option<char> {
    let mut chars = rest.chars();
    let c = match chars.next() {
        Some('\\') if chars.clone().next().is_some() => chars.next(),
        c => c,
    };
    *rest = chars.as_str();
    c
}

/// The name in a leading `[:name:]`, and what is behind it.
fn named_class(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("[:")?;
    let length = text.bytes().take_while(u8::is_ascii_lowercase).count();
    let (name, behind) = text.split_at(length);
    Some((name, behind.strip_prefix(":]")?))
}

/// Whether `c` is in a class of the POSIX locale; `None` where there is no such class.
fn class_holds(name: &str, c: char) -> Option<bool> {
    Some(match name {
        "alnum" => c.is_ascii_alphanumeric(),
        "alpha" => c.is_ascii_alphabetic(),
        "blank" => c == ' ' || c == '\t',
        "cntrl" => c.is_ascii_control(),
        "digit" => c.is_ascii_digit(),
        "graph" => c.is_ascii_graphic(),
        "lower" => c.is_ascii_lowercase(),
        "print" => c.is_ascii_graphic() || c == ' ',
        "punct" => c.is_ascii_punctuation(),
        "space" => c.is_ascii_whitespace() || c == '\u{b}',
        "upper" => c.is_ascii_uppercase(),
        "xdigit" => c.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(fnmatch(pattern, name), "{pattern} must match {name}");
            assert!(
                Pattern::new(pattern).matches(name),
                "{pattern} must match {name}"
            );
        }
        for name in no {
            assert!(!fnmatch(pattern, name), "{pattern} must not match {name}");
            assert!(
                !Pattern::new(pattern).matches(name),
                "{pattern} must not match {name}"
            );
        }
    }

    #[test]
    fn literals_stars_and_question_marks() {
        check("", &[""], &["a"]);
        check("u1", &["u1"], &["", "u", "u10", "U1", " u1"]);
        check("*", &["", "a", "a/b", "你"], &[]);
        check("**", &["", "a"], &[]);
        check("?", &["a", "你", "/"], &["", "ab"]);
        check("u?", &["u1", "u2"], &["u", "u10", "group1/1"]);
        check("u*", &["u", "u1", "u/1"], &["", "group1/1"]);
        check(
            "group1/*",
            &["group1/", "group1/1", "group1/1/2"],
            &["group1", "group10/1"],
        );
        check("*a", &["a", "ba", "aa", "aba"], &["", "ab"]);
        check("*ab*", &["ab", "xaby", "aab"], &["a", "ba"]);
        check("a*b*c", &["abc", "aXbYc", "abcbc"], &["ab", "acb", "abcd"]);
        check("*?", &["a", "ab"], &[""]);
        check("?*?", &["ab", "abc"], &["a"]);
        check("*你?", &["你好", "a你b"], &["你"]);
    }

    #[test]
    fn brackets() {
        check("u[2-9]", &["u2", "u9"], &["u1", "u", "u22", "u[2-9]"]);
        check("[a-c-e]", &["b", "-", "e"], ["d"].as_slice());
        check("[!a]", &["b", "!", "你"], &["a", "", "bc"]);
        check("[^a]", &["b", "^"], &["a"]);
        check("[a!]", &["a", "!"], &["b"]);
        check("[a^]", &["a", "^"], &["b"]);
        check("[]a]", &["]", "a"], &["b", "[]a]"]);
        check("[!]a]", &["b"], &["]", "a"]);
        check("[]-a]", &["]", "^", "a"], &["b", "-"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[-a]", &["a", "-"], &["b"]);
        check("[--0]", &["-", ".", "0"], &["1"]);
        check("[z-a]", &[], &["a", "b", "z"]);
        check("[é-ü]", &["ö"], &["a", "z"]);
        check("[一-龥]*", &["你好"], &["a", ""]);
        check("[/]", &["/"], &[]);
        check("[[]", &["["], &["[["]);
        check("[*?]", &["*", "?"], &["a"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[a\\-z]", &["a", "-", "z"], &["b", "\\"]);
        check("[\\a-c]", &["b"], &["\\"]);
        check("[a-\\z]", &["q"], &["\\"]);
        check("a[\\]b", &["a[]b"], &["a\\b"]);
    }

    #[test]
    fn unclosed_brackets_are_literal() {
        check("[", &["["], &["", "a"]);
        check("[a", &["[a"], &["a", "["]);
        check("[!a", &["[!a"], &["b"]);
        check("[]", &["[]"], &["]"]);
        check("[!]", &["[!]"], &["a"]);
        check("[^]", &["[^]"], &["a"]);
        check("[a-z", &["[a-z"], &["b"]);
        check("*[", &["x[", "["], &["x"]);
        check("[*", &["[", "[xyz"], &["x"]);
        check("[?", &["[q"], &["["]);
        check("[a\\*", &["[a*"], &["[a\\*", "[ab"]);
        check("[a\\]", &["[a]"], &["[a\\]", "a"]);
        check("*[ab]x[cd", &["ax[cd", "bbx[cd"], &["x[cd", "axc"]);
        check("[[:alpha", &["[[:alpha"], &["a"]);
        check(
            "[\\][[:alpha:]",
            &["[][a", "[][:"],
            ["a", "[][1"].as_slice(),
        );
    }

    #[test]
    fn named_classes() {
        check("[[:alpha:]]", &["q", "Q"], &["1", "é", ":"]);
        check("[[:alpha:][:digit:]_]", &["q", "1", "_"], &["-"]);
        check("[![:space:]]", &["q"], &[" ", "\t", "\u{b}"]);
        check("[[:alpha:]-z]", &["z", "-"], &["1"]);
        check("[a-[:digit:]]", &[":]", "d]"], &["5", "b", "b]"]);
        check("[[:foo:]]", &[], &["f", ":", "["]);
        check("[a[:foo:]]", &["a"], &["f"]);
        check("[x[:]", &["x", "[", ":"], &["a"]);
        check("[[:ALPHA:]]", &["A]", ":]"], &["A", "q"]);
        for (class, members) in [
            ("alnum", "aZ5"),
            ("alpha", "aZ"),
            ("blank", " \t"),
            ("cntrl", "\0\u{7f}"),
            ("digit", "09"),
            ("graph", "!~"),
            ("lower", "az"),
            ("print", " ~"),
            ("punct", "!_"),
            ("space", " \n\u{b}"),
            ("upper", "AZ"),
            ("xdigit", "09afAF"),
        ] {
            for c in members.chars() {
                check(&format!("[[:{class}:]]"), &[&c.to_string()], &["é", ""]);
            }
        }
    }

    #[test]
    fn escapes() {
        check("\\*", &["*"], &["a", "\\*"]);
        check("a\\*b", &["a*b"], &["axb", "a\\*b"]);
        check("\\a", &["a"], &["\\a"]);
        check("\\\\", &["\\"], &["\\\\"]);
        check("\\[a]", &["[a]"], &["a"]);
        check("\\你", &["你"], &["\\你"]);
        check("a\\", &[], &["a", "a\\"]);
        check("*\\", &[], &["", "a", "\\"]);
    }

    #[test]
    fn kinds() {
        let literal = |text: &'static str| Pattern::Literal(Cow::Borrowed(text));
        let glob = |prefix: &'static str, pattern| Pattern::Glob {
            prefix: Cow::Borrowed(prefix),
            pattern,
        };
        for (pattern, kind) in [
            ("", literal("")),
            ("u1", literal("u1")),
            ("a\\*b", literal("a*b")),
            ("a\\\\b", literal("a\\b")),
            ("a[b", literal("a[b")),
            ("[", literal("[")),
            ("*", Pattern::Any),
            ("***", Pattern::Any),
            ("*a", glob("", "*a")),
            ("group1/*", glob("group1/", "group1/*")),
            ("你?", glob("你", "你?")),
            ("a\\*b*", glob("a*b", "a\\*b*")),
            ("\\你\\好c*", glob("你好c", "\\你\\好c*")),
            ("a[b*", glob("a[b", "a[b*")),
            ("u[12]", glob("u", "u[12]")),
            ("a\\", glob("a", "a\\")),
        ] {
            assert_eq!(Pattern::new(pattern), kind, "{pattern}");
        }
        assert!(matches!(
            Pattern::new("a[b*"),
            Pattern::Glob {
                prefix: Cow::Borrowed(_),
                ..
            }
        ));
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let name = "a".repeat(300);
        assert!(!fnmatch(&format!("{}b", "*a".repeat(150)), &name));
        assert!(!fnmatch(&format!("*{}b", "?".repeat(290)), &name));
        for pattern in ["[", "[:", "[\\]", "[[:alpha:]", "[^]", "[!", "[[:a"] {
            let long = pattern.repeat(200_000);
            assert!(!fnmatch(&long, &name), "{pattern}");
            assert!(!fnmatch(&format!("*{long}"), "[[[["), "{pattern}");
            Pattern::new(&long);
        }
    }

    /// The plainest possible matcher, exponential: star by recursion.
    fn recursive(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=name.len()).any(|skip| recursive(rest, &name[skip..])),
            (['?', rest @ ..], [_, tail @ ..]) => recursive(rest, tail),
            ([c, rest @ ..], [d, tail @ ..]) => c == d && recursive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(fnmatch(&pattern, &name), recursive(&chars(&pattern), &chars(&name)));
        }

        #[test]
        fn a_match_begins_with_the_prefix(pattern in "[ab\\[\\]\\\\*?!:-]{0,8}", name in "[ab\\[\\]\\\\*?!:-]{0,6}") {
            let matches = fnmatch(&pattern, &name);
            let kind = Pattern::new(&pattern);
            prop_assert_eq!(kind.matches(&name), matches);
            if let Pattern::Glob { prefix, .. } = kind {
                prop_assert!(!matches || name.starts_with(&*prefix));
            }
        }

        #[test]
        fn an_escaped_name_matches_itself_only(name in any::<String>(), other in any::<String>()) {
            let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert_eq!(Pattern::new(&escaped), Pattern::Literal(Cow::Borrowed(name.as_str())));
            prop_assert!(fnmatch(&escaped, &name));
            prop_assert_eq!(fnmatch(&escaped, &other), name == other);
        }
    }
}
