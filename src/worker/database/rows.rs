//! The rows of a result, within their bounds.

use crate::limits::{DATABASE_RESULT_BYTES_MAX, DATABASE_ROWS_MAX};
use crate::message::database::{DatabaseAnswer, SqlValue};

/// A result that is being read.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<Box<str>>,
    rows: Vec<Vec<SqlValue>>,
    bytes: usize,
}

impl Rows {
    pub fn new(columns: Vec<Box<str>>) -> Self {
        Rows {
            columns,
            rows: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a row. Errors: the result is too large.
    pub fn push(&mut self, row: Vec<SqlValue>) -> Result<(), Box<str>> {
        self.bytes += row.iter().map(memory_of).sum::<usize>() + size_of::<Vec<SqlValue>>();
        self.rows.push(row);
        if self.rows.len() > DATABASE_ROWS_MAX {
            let text = format!("the result has more than {DATABASE_ROWS_MAX} rows: LIMIT it");
            return Err(text.into());
        }
        if self.bytes > DATABASE_RESULT_BYTES_MAX {
            let most = DATABASE_RESULT_BYTES_MAX >> 20;
            return Err(format!("the result takes more than {most} MiB: LIMIT it").into());
        }
        Ok(())
    }

    pub fn into_answer(self) -> DatabaseAnswer {
        DatabaseAnswer::Rows {
            columns: self.columns,
            rows: self.rows,
        }
    }
}

fn memory_of(value: &SqlValue) -> usize {
    let beside = match value {
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) => 0,
        SqlValue::Text(text) => text.len(),
        SqlValue::Blob(bytes) => bytes.len(),
    };
    size_of::<SqlValue>() + beside
}

/// Text where it is UTF-8.
pub(super) fn text_or_blob(bytes: Vec<u8>) -> SqlValue {
    match String::from_utf8(bytes) {
        Ok(text) => SqlValue::Text(text.into()),
        Err(error) => SqlValue::Blob(error.into_bytes().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_bytes_are_bounded() {
        let mut rows = Rows::new(vec!["a".into()]);
        for _ in 0..DATABASE_ROWS_MAX {
            assert_eq!(rows.push(vec![SqlValue::Integer(1)]), Ok(()));
        }
        assert!(
            rows.push(vec![SqlValue::Null])
                .is_err_and(|error| error.contains("rows"))
        );
        let mut rows = Rows::new(vec!["a".into()]);
        let mut large = || rows.push(vec![SqlValue::Text("x".repeat(1 << 20).into())]);
        let pushed = (0..100).take_while(|_| large().is_ok()).count();
        assert_eq!(pushed, (DATABASE_RESULT_BYTES_MAX >> 20) - 1);
    }
}
