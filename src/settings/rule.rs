//! What a setting's value must look like, and how a message says so. Never parses.

use std::fmt;

/// What a value must look like. Displayed as what is expected, without an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A whole number within a range, both ends included.
    Whole {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A number of bytes, which may end in `K`, `M` or `G` (times 1,024).
    Bytes {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// Seconds with up to three decimals, kept in ms.
    Seconds {
        /// Least but 0, ms; 0 when 0 is allowed too and switches something off.
        min_ms: u64,
        /// Most, ms.
        max_ms: u64,
    },
    /// `1 true on yes` or `0 false off no`, in any case.
    Bool,
    /// A TCP port. 0, any free one, is for tests and not told.
    Port,
    /// One of some words.
    Words(&'static [&'static str]),
    /// A path; may be empty for none.
    Path,
    /// The prefix of paths that a proxy keeps; may be empty for none.
    BasePath,
    /// A user's name, with a group's behind a colon if need be; may be empty for none.
    User,
    /// A text that is never shown; may be empty for none.
    Secret,
    /// A list of listeners.
    Listeners,
    /// A list of origins.
    Origins,
    /// A list of addresses and networks.
    Networks,
    /// A database's file or server; may be empty for none said.
    Database,
}

impl Rule {
    /// Whether a value is a list, in text separated by commas.
    pub fn is_list(&self) -> bool {
        matches!(self, Rule::Listeners | Rule::Origins | Rule::Networks)
    }

    /// Whether a value is a number.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Rule::Whole { .. } | Rule::Bytes { .. } | Rule::Seconds { .. } | Rule::Port
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Whole { min, max } => write!(f, "a whole number, {min} to {max}"),
            Rule::Bytes { min, max } => {
                write!(f, "a number of bytes, {} to {}", Scaled(*min), Scaled(*max))
            }
            Rule::Seconds { min_ms, max_ms } => {
                write!(f, "seconds, {} to {}", seconds(*min_ms), seconds(*max_ms))
            }
            Rule::Bool => f.write_str("true or false"),
            Rule::Port => f.write_str("a port, 1 to 65535"),
            Rule::Words(words) => f.write_str(&words.join(" or ")),
            Rule::Path => f.write_str("a path"),
            Rule::User => f.write_str("a user's name"),
            Rule::BasePath => f.write_str("a path that starts with /, not escaped"),
            Rule::Secret => f.write_str("a text without blanks"),
            Rule::Listeners => f.write_str("an address and port"),
            Rule::Origins => f.write_str("an origin"),
            Rule::Networks => f.write_str("an address or a network"),
            Rule::Database => f.write_str("FILE.db, HOST:PORT/NAME or null"),
        }
    }
}

/// Bytes in the largest unit that divides them.
pub(super) struct Scaled(pub(super) u64);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scaled(bytes) = *self;
        match bytes.trailing_zeros() {
            _ if bytes == 0 => f.write_str("0"),
            30.. => write!(f, "{}G", bytes >> 30),
            20.. => write!(f, "{}M", bytes >> 20),
            10.. => write!(f, "{}K", bytes >> 10),
            _ => write!(f, "{bytes}"),
        }
    }
}

/// `8.25` for 8,250 ms.
pub(super) fn seconds(ms: u64) -> String {
    match ms % 1_000 {
        0 => format!("{}", ms / 1_000),
        rest => format!("{}.{:03}", ms / 1_000, rest)
            .trim_end_matches('0')
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_say_what_they_expect() {
        assert_eq!(
            Rule::Bytes {
                min: 0,
                max: 1 << 30
            }
            .to_string(),
            "a number of bytes, 0 to 1G"
        );
        assert_eq!(
            Rule::Seconds {
                min_ms: 10,
                max_ms: 86_400_000
            }
            .to_string(),
            "seconds, 0.01 to 86400"
        );
        assert_eq!(Rule::Words(&["close", "drop"]).to_string(), "close or drop");
    }
}
