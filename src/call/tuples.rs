//! Lists of tuples in parameters: `100:1:wash,101::wax` by `/i:n?:s`. Never any other type ([`super::param`]).

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::call::error::CallError;
use crate::call::number::Numeric;
use crate::call::param::{as_text, digits, number_value, parse_bool};
use crate::call::time;
use crate::proto::form::Field;
use crate::proto::json;

/// The type of a list of tuples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuples {
    /// As it was written, for error texts.
    spec: String,
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    kind: ColumnKind,
    /// `?`: may be absent, empty or `null`, and is null then.
    optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnKind {
    Integer,
    Number,
    Bool,
    Date,
    DateTime,
    Text,
}

impl Tuples {
    /// Reads `i:n?:s`. Errors: code 4 where a column has no such type; `name` is for the text.
    pub fn parse(name: &str, spec: &str) -> Result<Tuples, CallError> {
        // `i:` is how a list of one column is written.
        let columns = spec
            .split(':')
            .filter(|column| !column.is_empty())
            .map(|column| {
                let (kind, optional) = match column.strip_suffix('?') {
                    Some(kind) => (kind, true),
                    None => (column, false),
                };
                let kind = match kind {
                    "i" => ColumnKind::Integer,
                    "n" => ColumnKind::Number,
                    "b" => ColumnKind::Bool,
                    "dt" => ColumnKind::Date,
                    "tm" => ColumnKind::DateTime,
                    "s" => ColumnKind::Text,
                    _ => {
                        let detail =
                            format!("unknown elem type `{kind}` for param `{name}`: list({spec})");
                        return Err(CallError::new(4, detail));
                    }
                };
                Ok(Column { kind, optional })
            });
        Ok(Tuples {
            columns: columns.collect::<Result<_, _>>()?,
            spec: spec.to_owned(),
        })
    }

    /// The rows of a text, or of a list in a JSON body. Errors: code 1, which names the row and the column.
    pub fn convert(
        &self,
        name: &str,
        field: &Field<'_>,
        tz: &TimeZone,
    ) -> Result<Value, CallError> {
        let text = match as_text(field) {
            Ok(text) => Cow::Borrowed(text),
            Err(Value::Array(rows)) => return self.convert_json(name, rows, tz),
            Err(value) => Cow::Owned(json::to_text(value)),
        };
        let rows = text.split(',').map(|row| {
            // The last column takes the colons that are left.
            let cells = row.splitn(self.columns.len(), ':').map(Cow::Borrowed);
            self.row(name, row, cells, tz)
        });
        rows.collect::<Result<Vec<_>, _>>().map(Value::Array)
    }

    /// Rows of a JSON body: lists already.
    fn convert_json(&self, name: &str, rows: &[Value], tz: &TimeZone) -> Result<Value, CallError> {
        let rows = rows.iter().map(|row| {
            let cells = row
                .as_array()
                .map_or(std::slice::from_ref(row), Vec::as_slice);
            let cells = cells.iter().map(|cell| Cow::Owned(json::to_text(cell)));
            self.row(name, &json::to_text(row), cells, tz)
        });
        rows.collect::<Result<Vec<_>, _>>().map(Value::Array)
    }

    fn row<'c>(
        &self,
        name: &str,
        row: &str,
        mut cells: impl Iterator<Item = Cow<'c, str>>,
        tz: &TimeZone,
    ) -> Result<Value, CallError> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (i, column) in self.columns.iter().enumerate() {
            let cell = cells
                .next()
                .filter(|cell| !cell.is_empty() && cell != "null");
            let error = |what: &str, cell: &str| {
                let spec = &self.spec;
                let detail = format!(
                    "Bad Request - param `{name}`: list({spec}). require {what}col: `{row}`[{i}]{cell}"
                );
                CallError::new(1, detail)
            };
            values.push(match cell {
                None if column.optional => Value::Null,
                None => return Err(error("", "")),
                Some(cell) => match column.kind.convert(&cell, tz) {
                    Some(value) => value,
                    None => return Err(error(column.kind.wanted(), &format!("=`{cell}`."))),
                },
            });
        }
        Ok(Value::Array(values))
    }
}

impl ColumnKind {
    fn convert(self, cell: &str, tz: &TimeZone) -> Option<Value> {
        match self {
            ColumnKind::Integer => digits(cell).map(Value::from),
            ColumnKind::Number => Numeric::parse(cell).and_then(number_value),
            ColumnKind::Bool => parse_bool(cell).map(Value::Bool),
            ColumnKind::Date => time::parse(cell, tz)
                .and_then(|s| time::midnight(s, tz))
                .map(Value::from),
            ColumnKind::DateTime => time::parse(cell, tz).map(Value::from),
            ColumnKind::Text => Some(Value::from(cell)),
        }
    }

    /// The word of the error text and a blank, in the original's spelling.
    fn wanted(self) -> &'static str {
        match self {
            ColumnKind::Integer => "integer ",
            ColumnKind::Number => "numberic ",
            ColumnKind::Bool => "bool ",
            ColumnKind::Date | ColumnKind::DateTime => "datetime ",
            ColumnKind::Text => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn converted(spec: &str, field: &Field<'_>) -> Result<Value, CallError> {
        let tz = TimeZone::fixed(jiff::tz::offset(8));
        Tuples::parse("x", spec).unwrap().convert("x", field, &tz)
    }

    #[track_caller]
    fn check(spec: &str, text: &str, expect: Value) {
        assert_eq!(converted(spec, &Field::Text(text.into())), Ok(expect));
    }

    #[track_caller]
    fn check_json(spec: &str, value: Value, expect: Value) {
        assert_eq!(converted(spec, &Field::Json(value)), Ok(expect));
    }

    #[track_caller]
    fn check_error(spec: &str, field: Field<'_>, problem: &str) {
        let error = converted(spec, &field).unwrap_err();
        let detail = format!("Bad Request - param `x`: list({spec}). require {problem}");
        assert_eq!((error.code, error.detail.as_ref()), (1, detail.as_str()));
    }

    #[test]
    fn rows() {
        check(
            "i:n:s",
            "100:1:wash,101:1.5:wax",
            json!([[100, 1, "wash"], [101, 1.5, "wax"]]),
        );
        check(
            "i:n?:s?",
            "100:1,101::wax,102",
            json!([[100, 1, null], [101, null, "wax"], [102, null, null]]),
        );
        check("i:n?:s", "1:null:a:b:c", json!([[1, null, "a:b:c"]]));
        check("i:", "10,11", json!([[10], [11]]));
        let day = 1_795_276_800;
        check(
            "b:dt:tm",
            "on:2026-11-22:2026-11-22 00:00:01",
            json!([[true, day, day + 1]]),
        );
        check_json(
            "i:s?",
            json!([[1, "a,b:c"], [2], 3]),
            json!([[1, "a,b:c"], [2, null], [3, null]]),
        );
        check_json("i:s?", json!(7), json!([[7, null]]));
        check_json("i:s?", json!("1:a"), json!([[1, "a"]]));
        check_json("i:s", json!([]), json!([]));
    }

    #[test]
    fn errors() {
        let text = |text: &'static str| Field::Text(text.into());
        check_error("i:n", text("1:2,3"), "col: `3`[1]");
        check_error("i:n", text("1:2,"), "col: ``[0]");
        check_error("i:n?", text("a:2"), "integer col: `a:2`[0]=`a`.");
        check_error("i:n?", text("-1"), "integer col: `-1`[0]=`-1`.");
        check_error("i:n", text("1:b"), "numberic col: `1:b`[1]=`b`.");
        check_error("i:b", text("1:2"), "bool col: `1:2`[1]=`2`.");
        check_error("i:tm", text("1:2"), "datetime col: `1:2`[1]=`2`.");
        check_error("i:s", Field::Json(json!([[1, null]])), "col: `[1,null]`[1]");
        check_error(
            "i:s",
            Field::Json(json!([[1, "a"], {}])),
            "integer col: `{}`[0]=`{}`.",
        );
    }

    #[test]
    fn specs() {
        for (spec, detail) in [
            ("i:js", "unknown elem type `js` for param `x`: list(i:js)"),
            ("?:", "unknown elem type `` for param `x`: list(?:)"),
            ("i??:", "unknown elem type `i?` for param `x`: list(i??:)"),
        ] {
            let error = Tuples::parse("x", spec).unwrap_err();
            assert_eq!((error.code, error.detail.as_ref()), (4, detail));
        }
    }
}
