//! Shell patterns as POSIX fnmatch without flags. Never who they select ([`crate::state::hub`]).

/// What kind of selection a pattern is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern<'a> {
    /// No special character (escapes removed): exactly this name.
    Literal(std::borrow::Cow<'a, str>),
    /// `*` (or a run of them): everyone.
    Any,
    /// A literal prefix (maybe empty) that every match begins with, and the whole pattern.
    Glob {
        /// Escapes removed.
        prefix: std::borrow::Cow<'a, str>,
        /// As written.
        pattern: &'a str,
    },
}

impl<'a> Pattern<'a> {
    /// Classifies one pattern.
    pub fn new(pattern: &'a str) -> Self {
        let _ = pattern;
        todo!()
    }

    /// Whether `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let _ = name;
        todo!()
    }
}

/// POSIX fnmatch(pattern, name, 0): `*` any run with `/` in it too, `?` one character, `[a-z]`, `[!a]`,
/// `[^a]`, `\x`; an unclosed `[` is literal. O(len(pattern) × len(name)) at worst, never exponential.
pub fn fnmatch(pattern: &str, name: &str) -> bool {
    let _ = (pattern, name);
    todo!()
}
