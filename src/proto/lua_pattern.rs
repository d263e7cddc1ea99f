//! Lua 5.4's patterns over bytes, with a count of steps: the ones in C backtrack exponentially and
//! cannot be interrupted. Knows nothing of Lua values; `plugin::text` makes the string functions of it.
//! Source: Lua 5.4 reference manual, 6.4.1; where that is silent, what its `lstrlib.c` does.

use std::fmt;

use crate::limits::{PATTERN_CAPTURES_MAX, PATTERN_DEPTH_MAX, PATTERN_STEPS_MAX};

/// What is wrong with a pattern, or with matching it here. Shown as Lua shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// A `%` is its last character.
    EndsWithEscape,
    /// A `[` is never closed.
    MissingBracket,
    /// `%b` without two characters behind it.
    MissingBalance,
    /// `%f` without a set behind it.
    MissingFrontier,
    /// More than [`PATTERN_CAPTURES_MAX`].
    TooManyCaptures,
    /// A `(` without its `)`.
    UnfinishedCapture,
    /// A `)` without its `(`.
    UnopenedCapture,
    /// `%N` where there is no such capture.
    CaptureIndex(i32),
    /// Nested deeper than [`PATTERN_DEPTH_MAX`].
    TooComplex,
    /// One attempt took more than [`PATTERN_STEPS_MAX`].
    TooSlow,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::EndsWithEscape => f.write_str("malformed pattern (ends with '%')"),
            PatternError::MissingBracket => f.write_str("malformed pattern (missing ']')"),
            PatternError::MissingBalance => {
                f.write_str("malformed pattern (missing arguments to '%b')")
            }
            PatternError::MissingFrontier => f.write_str("missing '[' after '%f' in pattern"),
            PatternError::TooManyCaptures => f.write_str("too many captures"),
            PatternError::UnfinishedCapture => f.write_str("unfinished capture"),
            PatternError::UnopenedCapture => f.write_str("invalid pattern capture"),
            PatternError::CaptureIndex(index) => write!(f, "invalid capture index %{index}"),
            PatternError::TooComplex => f.write_str("pattern too complex"),
            PatternError::TooSlow => f.write_str("pattern too slow for this text"),
        }
    }
}

/// What one capture holds, as offsets into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The text from one offset to another.
    Text(usize, usize),
    /// An offset: of `()`.
    Position(usize),
}

/// Where [`Matcher::find`] got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// From one offset to another; the captures are in the matcher.
    Match(usize, usize),
    /// Nowhere.
    Nothing,
    /// The steps of this turn are used up; to be continued from this offset.
    More(usize),
}

#[derive(Clone, Copy)]
enum Length {
    Unfinished,
    Position,
    Bytes(usize),
}

/// One pattern on one text.
pub struct Matcher<'a> {
    text: &'a [u8],
    /// Without its anchor.
    pattern: &'a [u8],
    anchored: bool,
    /// The byte that any match begins with, if that is known.
    first: Option<u8>,
    captures: [(usize, Length); PATTERN_CAPTURES_MAX],
    level: usize,
    depth: usize,
    /// Of the attempt at one position.
    steps: u64,
    /// Of all before it.
    steps_before: u64,
}

type Outcome = Result<Option<usize>, PatternError>;

impl<'a> Matcher<'a> {
    /// A `^` in front anchors, but where `anchors` is false: there it is a character like others (as in gmatch).
    pub fn new(text: &'a [u8], pattern: &'a [u8], anchors: bool) -> Self {
        let anchored = anchors && pattern.first() == Some(&b'^');
        let pattern = if anchored { &pattern[1..] } else { pattern };
        Matcher {
            text,
            pattern,
            anchored,
            first: first_byte(pattern),
            captures: [(0, Length::Unfinished); PATTERN_CAPTURES_MAX],
            level: 0,
            depth: 0,
            steps: 0,
            steps_before: 0,
        }
    }

    /// The first match that begins at `from` or behind it (anchored: at it) and does not end at `last`,
    /// where the one before ended. Gives up for now after about `steps`. Errors: the pattern's.
    pub fn find(
        &mut self,
        from: usize,
        last: Option<usize>,
        steps: u64,
    ) -> Result<Found, PatternError> {
        let steps_max = self.steps() + steps;
        let mut start = from;
        while start <= self.text.len() {
            if let (Some(first), false) = (self.first, self.anchored) {
                match memchr::memchr(first, &self.text[start..]) {
                    Some(skipped) => start += skipped,
                    None => return Ok(Found::Nothing),
                }
            }
            if let Some(end) = self.match_at(start)?
                && last != Some(end)
            {
                return Ok(Found::Match(start, end));
            }
            if self.anchored {
                break;
            }
            start += 1;
            if self.steps() >= steps_max {
                return Ok(Found::More(start));
            }
        }
        Ok(Found::Nothing)
    }

    /// Whether the pattern matches from exactly `start`, and the end of the match.
    fn match_at(&mut self, start: usize) -> Outcome {
        self.level = 0;
        self.depth = 0;
        self.steps_before += std::mem::take(&mut self.steps);
        self.run(start, 0)
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps_before + self.steps
    }

    /// Whether a `^` in front anchors it.
    pub fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// How many captures the last match made.
    pub fn captures(&self) -> usize {
        self.level
    }

    /// Capture `index`, from 0, of the last match, which went from `start` to `end`: where there are none,
    /// the first is the whole match. Errors: no such capture, or one that was never closed.
    pub fn capture(&self, index: usize, start: usize, end: usize) -> Result<Capture, PatternError> {
        if index >= self.level {
            return match index {
                0 => Ok(Capture::Text(start, end)),
                _ => Err(PatternError::CaptureIndex(index as i32 + 1)),
            };
        }
        match self.captures[index] {
            (_, Length::Unfinished) => Err(PatternError::UnfinishedCapture),
            (from, Length::Position) => Ok(Capture::Position(from)),
            (from, Length::Bytes(length)) => Ok(Capture::Text(from, from + length)),
        }
    }

    /// The pattern's byte; behind its end a NUL, which C finds there.
    fn byte(&self, p: usize) -> u8 {
        self.pattern.get(p).copied().unwrap_or(0)
    }

    fn spend(&mut self, steps: usize) -> Result<(), PatternError> {
        self.steps += steps as u64;
        if self.steps > PATTERN_STEPS_MAX {
            return Err(PatternError::TooSlow);
        }
        Ok(())
    }

    /// Matches the pattern from `p` on at `s`: the end of the match.
    fn run(&mut self, s: usize, p: usize) -> Outcome {
        self.depth += 1;
        if self.depth > PATTERN_DEPTH_MAX {
            return Err(PatternError::TooComplex);
        }
        let outcome = self.items(s, p)?;
        self.depth -= 1;
        Ok(outcome)
    }

    fn items(&mut self, mut s: usize, mut p: usize) -> Outcome {
        loop {
            self.spend(1)?;
            if p >= self.pattern.len() {
                return Ok(Some(s));
            }
            match self.byte(p) {
                b'(' if self.byte(p + 1) == b')' => {
                    return self.open(s, p + 2, Length::Position);
                }
                b'(' => return self.open(s, p + 1, Length::Unfinished),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                b'%' if self.byte(p + 1) == b'b' => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                b'%' if self.byte(p + 1) == b'f' => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                b'%' if self.byte(p + 1).is_ascii_digit() => {
                    match self.repeated(s, self.byte(p + 1))? {
                        Some(end) => (s, p) = (end, p + 2),
                        None => return Ok(None),
                    }
                }
                _ => match self.single(s, p)? {
                    Next::At(next_s, next_p) => (s, p) = (next_s, next_p),
                    Next::End(outcome) => return Ok(outcome),
                },
            }
        }
    }

    /// A class and the suffix behind it.
    fn single(&mut self, s: usize, p: usize) -> Result<Next, PatternError> {
        let suffix = self.class_end(p)?;
        let matches = self.matches(s, p, suffix);
        Ok(match self.byte(suffix) {
            b'*' | b'?' | b'-' if !matches => Next::At(s, suffix + 1),
            _ if !matches => Next::End(None),
            b'?' => match self.run(s + 1, suffix + 1)? {
                Some(end) => Next::End(Some(end)),
                None => Next::At(s, suffix + 1),
            },
            b'+' => Next::End(self.most(s + 1, p, suffix)?),
            b'*' => Next::End(self.most(s, p, suffix)?),
            b'-' => Next::End(self.least(s, p, suffix)?),
            _ => Next::At(s + 1, suffix),
        })
    }

    fn most(&mut self, s: usize, p: usize, suffix: usize) -> Outcome {
        let mut end = s;
        while self.matches(end, p, suffix) {
            end += 1;
        }
        self.spend((end - s) * (suffix - p) / 8)?;
        loop {
            if let Some(outcome) = self.run(end, suffix + 1)? {
                return Ok(Some(outcome));
            }
            if end == s {
                return Ok(None);
            }
            end -= 1;
        }
    }

    fn least(&mut self, mut s: usize, p: usize, suffix: usize) -> Outcome {
        // What one look at the class costs.
        let cost = (suffix - p) / 8;
        loop {
            if let Some(outcome) = self.run(s, suffix + 1)? {
                return Ok(Some(outcome));
            }
            if !self.matches(s, p, suffix) {
                return Ok(None);
            }
            self.spend(cost)?;
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, length: Length) -> Outcome {
        let Some(capture) = self.captures.get_mut(self.level) else {
            return Err(PatternError::TooManyCaptures);
        };
        *capture = (s, length);
        self.level += 1;
        let outcome = self.run(s, p)?;
        if outcome.is_none() {
            self.level -= 1;
        }
        Ok(outcome)
    }

    fn close(&mut self, s: usize, p: usize) -> Outcome {
        let open = self.captures[..self.level]
            .iter()
            .rposition(|(_, length)| matches!(length, Length::Unfinished))
            .ok_or(PatternError::UnopenedCapture)?;
        self.captures[open].1 = Length::Bytes(s - self.captures[open].0);
        let outcome = self.run(s, p)?;
        if outcome.is_none() {
            self.captures[open].1 = Length::Unfinished;
        }
        Ok(outcome)
    }

    /// `%bxy`: the end of the balanced text.
    fn balance(&mut self, s: usize, p: usize) -> Outcome {
        if p + 1 >= self.pattern.len() {
            return Err(PatternError::MissingBalance);
        }
        let (open, close) = (self.byte(p), self.byte(p + 1));
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut level = 1;
        for (offset, &byte) in self.text[s + 1..].iter().enumerate() {
            if byte == close {
                level -= 1;
                if level == 0 {
                    self.spend(offset / 4)?;
                    return Ok(Some(s + offset + 2));
                }
            } else if byte == open {
                level += 1;
            }
        }
        self.spend((self.text.len() - s) / 4)?;
        Ok(None)
    }

    /// `%f[set]`: where the pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> Outcome {
        if self.byte(p) != b'[' {
            return Err(PatternError::MissingFrontier);
        }
        let end = self.class_end(p)?;
        let before = if s == 0 { 0 } else { self.text[s - 1] };
        let here = self.text.get(s).copied().unwrap_or(0);
        Ok((!self.in_set(before, p, end - 1) && self.in_set(here, p, end - 1)).then_some(end))
    }

    /// `%1`: the end of the same text again.
    fn repeated(&mut self, s: usize, digit: u8) -> Outcome {
        let index = i32::from(digit) - i32::from(b'1');
        let capture = usize::try_from(index)
            .ok()
            .filter(|&index| index < self.level)
            .map(|index| self.captures[index]);
        let (from, length) = match capture {
            None | Some((_, Length::Unfinished)) => {
                return Err(PatternError::CaptureIndex(index + 1));
            }
            // In C its length is a huge number: no text is that long.
            Some((_, Length::Position)) => return Ok(None),
            Some((from, Length::Bytes(length))) => (from, length),
        };
        self.spend(length / 16)?;
        let same = self.text[s..].starts_with(&self.text[from..from + length]);
        Ok(same.then_some(s + length))
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&mut self, p: usize) -> Result<usize, PatternError> {
        match self.byte(p) {
            b'%' if p + 1 == self.pattern.len() => Err(PatternError::EndsWithEscape),
            b'%' => Ok(p + 2),
            b'[' => {
                let mut end = p + 1;
                if self.byte(end) == b'^' {
                    end += 1;
                }
                // A `]` in front is one of the set.
                loop {
                    if end == self.pattern.len() {
                        return Err(PatternError::MissingBracket);
                    }
                    end += if self.byte(end) == b'%' && end + 1 < self.pattern.len() {
                        2
                    } else {
                        1
                    };
                    if self.byte(end) == b']' && end < self.pattern.len() {
                        break;
                    }
                }
                self.spend((end - p) / 8)?;
                Ok(end + 1)
            }
            _ => Ok(p + 1),
        }
    }

    fn matches(&self, s: usize, p: usize, suffix: usize) -> bool {
        let Some(&byte) = self.text.get(s) else {
            return false;
        };
        match self.byte(p) {
            b'.' => true,
            b'%' => in_class(byte, self.byte(p + 1)),
            b'[' => self.in_set(byte, p, suffix - 1),
            literal => literal == byte,
        }
    }

    /// Whether the set from the `[` at `p` to the `]` at `end` holds the byte.
    fn in_set(&self, byte: u8, p: usize, end: usize) -> bool {
        let negated = self.byte(p + 1) == b'^';
        let mut p = if negated { p + 2 } else { p + 1 };
        while p < end {
            if self.byte(p) == b'%' {
                if in_class(byte, self.byte(p + 1)) {
                    return !negated;
                }
                p += 2;
            } else if self.byte(p + 1) == b'-' && p + 2 < end {
                if (self.byte(p)..=self.byte(p + 2)).contains(&byte) {
                    return !negated;
                }
                p += 3;
            } else {
                if self.byte(p) == byte {
                    return !negated;
                }
                p += 1;
            }
        }
        negated
    }
}

enum Next {
    /// Both go on from here.
    At(usize, usize),
    End(Option<usize>),
}

/// The byte that every match of the pattern begins with, if it begins with a plain one.
fn first_byte(pattern: &[u8]) -> Option<u8> {
    let (&byte, rest) = pattern.split_first()?;
    let (byte, rest) = match byte {
        b'%' => {
            let (&escaped, rest) = rest.split_first()?;
            (!escaped.is_ascii_alphanumeric()).then_some((escaped, rest))?
        }
        b'(' | b')' | b'.' | b'[' | b'$' => return None,
        byte => (byte, rest),
    };
    (!matches!(rest.first(), Some(b'*' | b'?' | b'-'))).then_some(byte)
}

/// `%a` and the others; any other character stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let holds = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    holds == class.is_ascii_lowercase()
}

/// Whether the pattern is plain text.
pub fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}
