//! What the words of a statement tell before it is run: whether it may change something, and whether it is
//! one that plugins may not run. Never a parser: where it errs, a read counts as a change.

/// Whether a statement surely changes nothing and takes no locks.
pub(super) fn is_read(sql: &str) -> bool {
    let mut words = words(sql);
    match words.next() {
        Some(first) if is_any(first, &["select", "table", "values"]) => !is_locking(words),
        Some(first) if is_any(first, &["with"]) => {
            let mut rest = words.clone();
            !rest.any(|word| is_any(word, &["insert", "update", "delete", "replace"]))
                && !is_locking(words)
        }
        Some(first) => is_any(first, &["show", "explain", "describe", "desc", "pragma"]),
        None => true,
    }
}

/// `FOR UPDATE`, `FOR SHARE`, `LOCK IN SHARE MODE`, `INTO`: what a read may do besides.
fn is_locking<'s>(words: impl Iterator<Item = &'s str>) -> bool {
    let mut before = "";
    for word in words {
        let is_for = before.eq_ignore_ascii_case("for") && is_any(word, &["update", "share"]);
        let is_lock = before.eq_ignore_ascii_case("lock") && is_any(word, &["in"]);
        if is_for || is_lock || is_any(word, &["into"]) {
            return true;
        }
        before = word;
    }
    false
}

/// The word of a statement that would take a call's transaction out of our hands.
pub(super) fn transaction_word(sql: &str) -> Option<&str> {
    const WORDS: [&str; 10] = [
        "begin",
        "start",
        "commit",
        "end",
        "rollback",
        "savepoint",
        "release",
        "xa",
        "lock",
        "unlock",
    ];
    words(sql).next().filter(|word| is_any(word, &WORDS))
}

/// Whether a statement leaves nothing behind in its connection.
#[cfg(feature = "mysql")]
pub(super) fn is_tidy(sql: &str) -> bool {
    const WORDS: [&str; 11] = [
        "select", "insert", "update", "delete", "replace", "show", "explain", "describe", "desc",
        "values", "with",
    ];
    let mut words = words(sql);
    // `@a := 1` and `get_lock` are for reads, too.
    words.next().is_some_and(|word| is_any(word, &WORDS))
        && !sql.contains('@')
        && !words.any(|word| is_any(word, &["get_lock"]))
}

/// Whether a statement inserts rows, so that it may have made an id.
pub(super) fn is_insert(sql: &str) -> bool {
    let mut words = words(sql);
    match words.next() {
        Some(first) if is_any(first, &["with"]) => {
            words.any(|word| is_any(word, &["insert", "replace"]))
        }
        first => first.is_some_and(|first| is_any(first, &["insert", "replace"])),
    }
}

fn is_any(word: &str, of: &[&str]) -> bool {
    of.iter().any(|other| other.eq_ignore_ascii_case(word))
}

/// Runs of letters, digits and `_`, comments left out; those in quotes too, for it does no harm.
fn words(sql: &str) -> Words<'_> {
    Words(sql)
}

#[derive(Clone)]
struct Words<'s>(&'s str);

impl<'s> Iterator for Words<'s> {
    type Item = &'s str;

    fn next(&mut self) -> Option<&'s str> {
        loop {
            let rest = self
                .0
                .trim_start_matches(|c: char| !is_word_char(c) && !"-/#".contains(c));
            let behind = match rest.as_bytes() {
                [] => return None,
                [b'#', ..] | [b'-', b'-', ..] => rest.find('\n').map(|at| &rest[at..]),
                // MySQL runs what stands in these.
                [b'/', b'*', b'!', ..] => Some(&rest[3..]),
                [b'/', b'*', ..] => rest.find("*/").map(|at| &rest[at + 2..]),
                [b'/' | b'-', ..] => Some(&rest[1..]),
                _ => {
                    let end = rest.find(|c: char| !is_word_char(c)).unwrap_or(rest.len());
                    let (word, behind) = rest.split_at(end);
                    self.0 = behind;
                    // A version, as in `/*!50708`.
                    if word.bytes().all(|byte| byte.is_ascii_digit()) {
                        continue;
                    }
                    return Some(word);
                }
            };
            self.0 = behind.unwrap_or("");
        }
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_told_from_changes() {
        for sql in [
            "select 1",
            "SELECT * FROM t",
            "(select 1) union (select 2)",
            "/* x */ select 1",
            "-- a\nselect 1",
            "# a\n select 1",
            "with a as (select 1) select * from a",
            "show tables",
            "explain update t set a=1",
            "pragma table_info(t)",
            "",
            ";",
            "values (1)",
        ] {
            assert!(is_read(sql), "{sql:?}");
        }
        for sql in [
            "insert into t values (1)",
            "update t set a=1",
            "SELECT a FROM t FOR UPDATE",
            "select a from t for\n share",
            "select a from t lock in share mode",
            "select 1 into @a",
            "with a as (select 1) delete from t",
            "call p()",
            "create table t (a)",
            "set @a = 1",
            "/*!50000 update */ t set a=1",
            "-- x",
            "/* select",
            "do sleep(1)",
            "é",
        ] {
            assert_eq!(is_read(sql), words(sql).next().is_none(), "{sql:?}");
        }
    }

    #[test]
    fn transactions_are_not_for_statements() {
        for (sql, want) in [
            ("commit", Some("commit")),
            (" ; /* x */ BEGIN immediate", Some("BEGIN")),
            ("rollback to a", Some("rollback")),
            ("/*! START transaction */", Some("START")),
            ("LOCK TABLES t WRITE", Some("LOCK")),
            ("select 'commit'", None),
            ("committed", None),
            ("", None),
        ] {
            assert_eq!(transaction_word(sql), want, "{sql:?}");
        }
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn what_leaves_something_behind_is_known() {
        for sql in [
            "select 1",
            "INSERT INTO t VALUES (1)",
            "with a as (select 1) select * from a",
        ] {
            assert!(is_tidy(sql), "{sql:?}");
        }
        for sql in [
            "set @a = 1",
            "select @a := 1",
            "select Get_Lock('a', 1)",
            "create temporary table t (a)",
            "",
        ] {
            assert!(!is_tidy(sql), "{sql:?}");
        }
    }

    #[test]
    fn inserts() {
        assert!(is_insert("INSERT INTO t VALUES (1)") && is_insert("replace into t values (1)"));
        assert!(is_insert(
            "with a as (select 1) insert into t select * from a"
        ));
        assert!(!is_insert("update t set a = 1") && !is_insert(""));
    }
}
