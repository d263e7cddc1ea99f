//! The last lines of each log, in memory, for whoever wants to look at them from afar. Never reads a file.

use std::collections::VecDeque;

use crate::limits::{LOG_TAIL_BYTES_MAX, LOG_TAIL_LINE_BYTES_MAX, LOG_TAIL_LINES_MAX};
use crate::message::{LogFile, LogLines, LogQuery, TailLine};
use crate::proto::logtext::log_text;

/// The last lines of all logs, each within its own bounds: a chatty one takes nothing from the others.
#[derive(Debug, Default)]
pub(super) struct Tail {
    rings: [Ring; LogFile::ALL.len()],
    /// Of the next line; the first is 1.
    next: u64,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<(u64, Box<str>)>,
    bytes: usize,
}

impl Tail {
    /// Keeps a line, its start if it is long.
    pub fn push(&mut self, file: LogFile, text: &str) {
        self.next += 1;
        let text: Box<str> = match text.len() > LOG_TAIL_LINE_BYTES_MAX {
            true => log_text(text, LOG_TAIL_LINE_BYTES_MAX).into(),
            false => text.into(),
        };
        let ring = &mut self.rings[file as usize];
        ring.bytes += text.len();
        ring.lines.push_back((self.next, text));
        while ring.lines.len() > LOG_TAIL_LINES_MAX || ring.bytes > LOG_TAIL_BYTES_MAX {
            match ring.lines.pop_front() {
                Some((_, text)) => ring.bytes -= text.len(),
                None => return,
            }
        }
    }

    /// The last lines that a query asks for, in order.
    pub fn answer(&self, query: &LogQuery) -> LogLines {
        let needle = query.text.to_lowercase();
        let files = LogFile::ALL
            .into_iter()
            .filter(|file| query.file.is_none_or(|wanted| wanted == *file));
        let mut found: Vec<(u64, LogFile, &str)> = Vec::new();
        for file in files {
            let lines = self.rings[file as usize].lines.iter().rev();
            let wanted = lines
                .take_while(|(number, _)| *number > query.after)
                .filter(|(_, text)| needle.is_empty() || text.to_lowercase().contains(&needle))
                .take(query.limit);
            found.extend(wanted.map(|(number, text)| (*number, file, &**text)));
        }
        found.sort_unstable_by_key(|(number, ..)| *number);
        let cut = found.len().saturating_sub(query.limit);
        let lines = found[cut..].iter().map(|&(number, file, text)| TailLine {
            number,
            file,
            text: text.into(),
        });
        LogLines {
            reply_to: query.reply_to,
            last: self.next,
            lines: lines.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(after: u64, file: Option<LogFile>, text: &str, limit: usize) -> LogQuery {
        LogQuery {
            reply_to: None,
            after,
            file,
            text: text.into(),
            limit,
        }
    }

    #[track_caller]
    fn check(tail: &Tail, query: &LogQuery, want: &[(u64, &str)]) {
        let answer = tail.answer(query);
        let got: Vec<_> = answer
            .lines
            .iter()
            .map(|line| (line.number, &*line.text))
            .collect();
        assert_eq!(got, want);
        assert_eq!(answer.last, tail.next);
    }

    #[test]
    fn the_last_lines_of_all_files_come_in_order() {
        let mut tail = Tail::default();
        check(&tail, &query(0, None, "", 10), &[]);
        for (file, text) in [
            (LogFile::Server, "One"),
            (LogFile::Trace, "two"),
            (LogFile::Debug, "three"),
            (LogFile::Trace, "ÖNE more"),
        ] {
            tail.push(file, text);
        }
        check(
            &tail,
            &query(0, None, "", 10),
            &[(1, "One"), (2, "two"), (3, "three"), (4, "ÖNE more")],
        );
        check(
            &tail,
            &query(0, None, "", 2),
            &[(3, "three"), (4, "ÖNE more")],
        );
        check(
            &tail,
            &query(2, None, "", 10),
            &[(3, "three"), (4, "ÖNE more")],
        );
        check(&tail, &query(4, None, "", 10), &[]);
        check(
            &tail,
            &query(0, Some(LogFile::Trace), "", 10),
            &[(2, "two"), (4, "ÖNE more")],
        );
        check(&tail, &query(0, Some(LogFile::Slow), "", 10), &[]);
        check(&tail, &query(0, None, "öNe", 10), &[(4, "ÖNE more")]);
        check(&tail, &query(0, None, "", 0), &[]);
    }

    #[test]
    fn lines_and_bytes_are_bounded_by_file() {
        let mut tail = Tail::default();
        tail.push(LogFile::Server, "stays");
        for n in 0..3 * LOG_TAIL_LINES_MAX {
            tail.push(LogFile::Trace, &n.to_string());
        }
        assert_eq!(
            tail.rings[LogFile::Trace as usize].lines.len(),
            LOG_TAIL_LINES_MAX
        );
        for _ in 0..LOG_TAIL_LINES_MAX {
            tail.push(LogFile::Trace, &"é".repeat(LOG_TAIL_LINE_BYTES_MAX));
        }
        let ring = &tail.rings[LogFile::Trace as usize];
        let bytes: usize = ring.lines.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes <= LOG_TAIL_BYTES_MAX && bytes == ring.bytes);
        let answer = tail.answer(&query(0, Some(LogFile::Trace), "", 1));
        assert!(answer.lines[0].text.ends_with(" bytes)"));
        check(
            &tail,
            &query(0, Some(LogFile::Server), "", 9),
            &[(1, "stays")],
        );
    }
}
