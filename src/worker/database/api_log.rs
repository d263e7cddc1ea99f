//! Calls into the tables ApiLog and ApiLog1, which are made where they are missing. Never decides which calls.

use std::time::Instant;

use crate::message::api_log::{ApiRecord, ApiSubRecord};
use crate::message::database::{DatabaseAnswer, SqlValue};
use crate::worker::database::connection::{Connection, Fault, Statement};

const COLUMNS: &str = "INTO ApiLog \
    (tm, addr, ua, app, ses, userId, ac, t, retval, req, res, reqsz, ressz, ver, serverRev) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const SUB_COLUMNS: &str =
    "INTO ApiLog1 (apiLogId, ac, t, retval, req, res) VALUES (?, ?, ?, ?, ?, ?)";

const SQLITE_TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS ApiLog (id INTEGER PRIMARY KEY AUTOINCREMENT, tm TEXT, addr TEXT, ua TEXT, app TEXT, \
     ses TEXT, userId INTEGER, ac TEXT, t INTEGER, retval INTEGER, req TEXT, res TEXT, reqsz INTEGER, ressz INTEGER, \
     ver TEXT, serverRev TEXT)",
    "CREATE TABLE IF NOT EXISTS ApiLog1 (id INTEGER PRIMARY KEY AUTOINCREMENT, apiLogId INTEGER, ac TEXT, t INTEGER, \
     retval INTEGER, req TEXT, res TEXT)",
    "CREATE INDEX IF NOT EXISTS ApiLog1_apiLogId ON ApiLog1 (apiLogId)",
];

#[cfg(feature = "mysql")]
const MYSQL_TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS ApiLog (id BIGINT AUTO_INCREMENT PRIMARY KEY, tm DATETIME, addr VARCHAR(255), \
     ua VARCHAR(255), app VARCHAR(255), ses VARCHAR(255), userId BIGINT, ac VARCHAR(255), t INT, retval INT, req TEXT, \
     res TEXT, reqsz BIGINT, ressz BIGINT, ver VARCHAR(255), serverRev VARCHAR(255)) DEFAULT CHARSET utf8mb4",
    "CREATE TABLE IF NOT EXISTS ApiLog1 (id BIGINT AUTO_INCREMENT PRIMARY KEY, apiLogId BIGINT, ac VARCHAR(255), t INT, \
     retval INT, req TEXT, res TEXT, KEY (apiLogId)) DEFAULT CHARSET utf8mb4",
];

/// Writes all of them in one transaction, or none.
pub(super) fn write(
    conn: &mut Connection,
    records: &[ApiRecord],
    deadline: Instant,
) -> Result<(), Fault> {
    match write_once(conn, records, deadline) {
        // Most likely there are no tables yet.
        Err(Fault::Refused(_)) => {
            for sql in tables(conn) {
                run(conn, sql, &[], deadline)?;
            }
            write_once(conn, records, deadline)
        }
        outcome => outcome,
    }
}

fn tables(conn: &Connection) -> &'static [&'static str] {
    match conn {
        Connection::File(_) => &SQLITE_TABLES,
        #[cfg(feature = "mysql")]
        Connection::Server(_) => &MYSQL_TABLES,
    }
}

fn write_once(
    conn: &mut Connection,
    records: &[ApiRecord],
    deadline: Instant,
) -> Result<(), Fault> {
    conn.begin()?;
    let written = records
        .iter()
        .try_for_each(|record| write_record(conn, record, deadline));
    let ended = conn.end(written.is_ok());
    match (written, ended) {
        // The connection may still be in it.
        (Err(_), Err(fault)) => Err(Fault::Lost(fault.into_text())),
        (Err(fault), Ok(())) => Err(fault),
        (Ok(()), ended) => ended,
    }
}

/// A table of the original's may be narrower, and a server refuse what does not fit, with all records beside it: who
/// calls could keep others out.
fn insert(conn: &Connection, columns: &str) -> String {
    match conn {
        Connection::File(_) => format!("INSERT {columns}"),
        #[cfg(feature = "mysql")]
        Connection::Server(_) => format!("INSERT IGNORE {columns}"),
    }
}

fn write_record(conn: &mut Connection, record: &ApiRecord, deadline: Instant) -> Result<(), Fault> {
    let values = [
        text(&record.began),
        text(&record.address),
        text(&record.user_agent),
        text(&record.app),
        text(&record.session),
        record.user.map_or(SqlValue::Null, SqlValue::Integer),
        text(&record.action),
        number(record.took_ms),
        SqlValue::Integer(record.code),
        text(&record.request),
        text(&record.answer),
        number(record.request_bytes),
        number(record.answer_bytes),
        text(&record.version),
        text(env!("CARGO_PKG_VERSION")),
    ];
    let sql = insert(conn, COLUMNS);
    let id = run(conn, &sql, &values, deadline)?;
    let sql = insert(conn, SUB_COLUMNS);
    for call in &record.sub_calls {
        let ApiSubRecord {
            action,
            took_ms,
            code,
            request,
            answer,
        } = call;
        let values = [
            SqlValue::Integer(id),
            text(action),
            number(*took_ms),
            SqlValue::Integer(*code),
            text(request),
            text(answer),
        ];
        run(conn, &sql, &values, deadline)?;
    }
    Ok(())
}

/// The id that was made.
fn run(
    conn: &mut Connection,
    sql: &str,
    values: &[SqlValue],
    deadline: Instant,
) -> Result<i64, Fault> {
    let statement = Statement {
        sql,
        values,
        is_query: false,
    };
    match conn.run(statement, deadline)? {
        DatabaseAnswer::Changed { insert_id, .. } => Ok(insert_id),
        _ => Ok(0),
    }
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.into())
}

fn number(number: u64) -> SqlValue {
    SqlValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
