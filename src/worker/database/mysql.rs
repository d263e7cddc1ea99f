//! One connection to a MySQL or MariaDB server: prepared statements, limits set in the server's session, and a
//! read timeout behind them, should the server not keep them.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mysql::consts::ColumnType;
use mysql::prelude::Queryable;
use mysql::{Binary, Column, Conn, DriverError, Error, OptsBuilder, Params, QueryResult, Value};

use crate::limits::{
    DATABASE_CONNECT_MS_MAX, DATABASE_RESULT_BYTES_MAX, DATABASE_ROWS_MAX, DATABASE_SERVER_GRACE_MS,
};
use crate::message::database::{DatabaseAnswer, SqlValue};
use crate::worker::database::connection::{Fault, Server, Statement};
use crate::worker::database::rows::{Rows, text_or_blob};
use crate::worker::database::sql;

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 32;

/// An open connection.
pub(super) struct Link {
    conn: Conn,
    server: Server,
    timeout: Duration,
    /// A statement may have left something: a variable, a temporary table, a lock.
    is_untidy: bool,
}

impl Link {
    pub fn open(server: &Server, timeout: Duration) -> Result<Self, String> {
        let conn = Conn::new(options(server, timeout).init(vec![session(timeout)]));
        Ok(Link {
            conn: conn.map_err(|error| text_of(&error))?,
            server: server.clone(),
            timeout,
            is_untidy: false,
        })
    }

    pub fn ping(&mut self) -> Result<(), Fault> {
        self.conn.ping().map_err(|error| self.fault(error))
    }

    pub fn begin(&mut self) -> Result<(), Fault> {
        let begun = self.conn.query_drop("START TRANSACTION");
        begun.map_err(|error| self.fault(error))
    }

    pub fn end(&mut self, commit: bool) -> Result<(), Fault> {
        let ended = self
            .conn
            .query_drop(if commit { "COMMIT" } else { "ROLLBACK" });
        match ended.map_err(|error| self.fault(error)) {
            // Whatever it is, nothing of it may go on.
            Err(Fault::Refused(text)) => match self.conn.query_drop("ROLLBACK") {
                Ok(()) => Err(Fault::Refused(text)),
                Err(_) => Err(Fault::Lost(text)),
            },
            outcome => outcome,
        }
    }

    pub fn tidy(&mut self) -> Result<(), Fault> {
        if !self.is_untidy {
            return Ok(());
        }
        self.is_untidy = false;
        self.conn.reset().map_err(|error| self.fault(error))
    }

    pub fn run(
        &mut self,
        statement: Statement<'_>,
        deadline: Instant,
    ) -> Result<DatabaseAnswer, Fault> {
        self.is_untidy |= !sql::is_tidy(statement.sql);
        let values = statement.values.iter().map(bound).collect::<Vec<_>>();
        let params = match values.is_empty() {
            true => Params::Empty,
            false => Params::Positional(values),
        };
        let result = self.conn.exec_iter(statement.sql, params);
        let mut outcome =
            result.and_then(|result| read(result, statement.is_query, deadline, self.timeout));
        if matches!(&outcome, Err(error) if is_unpreparable(error)) && statement.values.is_empty() {
            let changed = self.conn.query_drop(statement.sql);
            outcome = changed.map(|()| Ok(changed_by(&self.conn)));
        }
        match outcome {
            Ok(answer) => answer.map_err(Fault::Refused),
            Err(error) => Err(self.fault(error)),
        }
    }

    fn fault(&self, error: Error) -> Fault {
        let timeout = || timeout_text(self.timeout);
        if let Some(cause) = io_error(&error)
            && matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        {
            self.kill();
            return Fault::Lost(timeout());
        }
        match &error {
            // The server's own limit on the time of a statement.
            Error::MySqlError(cause) if matches!(cause.code, 1969 | 3024) => {
                Fault::Refused(timeout())
            }
            // A deadlock ends the whole transaction.
            Error::MySqlError(cause) if cause.code == 1213 => {
                Fault::RolledBack(text_of(&error).into())
            }
            // Shutdown, killed, closed for being idle.
            Error::MySqlError(cause) if matches!(cause.code, 1053 | 1079 | 1927 | 4031) => {
                Fault::Lost(text_of(&error).into())
            }
            Error::DriverError(DriverError::MismatchedStmtParams(wanted, given)) => {
                let text = format!("the statement takes {wanted} values, {given} are given");
                Fault::Refused(text.into())
            }
            Error::DriverError(DriverError::MixedParams) => {
                Fault::Refused("values are given for `?` only, not for names".into())
            }
            Error::IoError(_) | Error::CodecError(_) | Error::DriverError(_) => {
                Fault::Lost(text_of(&error).into())
            }
            _ => Fault::Refused(text_of(&error).into()),
        }
    }

    /// Has the server end what it may still be doing on this connection.
    fn kill(&self) {
        let timeout = Duration::from_millis(DATABASE_SERVER_GRACE_MS);
        if let Ok(mut conn) = Conn::new(options(&self.server, timeout)) {
            let _ = conn.query_drop(format!("KILL {}", self.conn.connection_id()));
        }
    }
}

fn options(server: &Server, timeout: Duration) -> OptsBuilder {
    let grace = Duration::from_millis(DATABASE_SERVER_GRACE_MS);
    let connect = Duration::from_millis(DATABASE_CONNECT_MS_MAX).min(timeout);
    OptsBuilder::new()
        .ip_or_hostname(Some(&server.host))
        .tcp_port(server.port)
        .db_name(Some(&server.name))
        .user(Some(&server.user))
        .pass(Some(&server.password))
        // It would ask the server for its socket, which may be another one's here.
        .prefer_socket(false)
        .tcp_connect_timeout(Some(connect))
        .read_timeout(Some(timeout + grace))
        .write_timeout(Some(timeout + grace))
        .stmt_cache_size(STATEMENTS_KEPT)
        .max_allowed_packet(Some(2 * DATABASE_RESULT_BYTES_MAX))
}

/// What the server is to keep to: rows, waits for locks and the time of a statement. MySQL has the latter for reads
/// only; each of the two kinds of server skips what is written for the other.
fn session(timeout: Duration) -> String {
    let rows = DATABASE_ROWS_MAX + 1;
    let (seconds, ms) = (timeout.as_secs_f64(), timeout.as_millis());
    let lock = seconds.ceil();
    format!(
        "SET SESSION sql_select_limit={rows}, innodb_lock_wait_timeout={lock} \
         /*M!100100 , max_statement_time={seconds} */ /*!50708 , max_execution_time={ms} */"
    )
}

/// All of a result. The outer error is the connection's.
fn read(
    mut result: QueryResult<'_, '_, '_, Binary>,
    is_query: bool,
    deadline: Instant,
    timeout: Duration,
) -> Result<Result<DatabaseAnswer, Box<str>>, Error> {
    let give_up = deadline + Duration::from_millis(DATABASE_SERVER_GRACE_MS);
    if !is_query {
        let changed = DatabaseAnswer::Changed {
            rows: result.affected_rows(),
            insert_id: result.last_insert_id().unwrap_or_default() as i64,
        };
        let mut is_late = false;
        while !is_late && let Some(mut rows) = result.iter() {
            while let Some(row) = rows.next() {
                row?;
                if Instant::now() > give_up {
                    is_late = true;
                    std::mem::forget(rows);
                    break;
                }
            }
        }
        return match is_late {
            true => Err(abandoned(result)),
            false => Ok(Ok(changed)),
        };
    }
    let columns = result.columns().as_ref().to_vec();
    let names = columns.iter().map(|column| column.name_str().into());
    let mut found = Rows::new(names.collect());
    let mut refused = None;
    while let Some(row) = result.next() {
        if Instant::now() > give_up {
            return Err(abandoned(result));
        }
        let values = row?
            .unwrap_raw()
            .into_iter()
            .map(|value| value.unwrap_or(Value::NULL));
        if refused.is_some() {
            // The rest has to be read, or the connection would be of no more use.
            continue;
        }
        let row = values
            .zip(&columns)
            .map(|(value, column)| value_of(value, column));
        refused = found.push(row.collect()).err();
        if refused.is_none() && Instant::now() > deadline {
            refused = Some(timeout_text(timeout));
        }
    }
    Ok(match refused {
        None => Ok(found.into_answer()),
        Some(text) => Err(text),
    })
}

/// Leaves a result whose rest would take too long; the connection is of no more use.
fn abandoned(result: QueryResult<'_, '_, '_, Binary>) -> Error {
    // Its end would read the rest.
    std::mem::forget(result);
    Error::IoError(ErrorKind::TimedOut.into())
}

fn changed_by(conn: &Conn) -> DatabaseAnswer {
    DatabaseAnswer::Changed {
        rows: conn.affected_rows(),
        insert_id: conn.last_insert_id() as i64,
    }
}

/// Some statements cannot be prepared.
fn is_unpreparable(error: &Error) -> bool {
    matches!(error, Error::MySqlError(cause) if cause.code == 1295)
}

fn timeout_text(timeout: Duration) -> Box<str> {
    format!("timeout: it took longer than {} ms", timeout.as_millis()).into()
}

fn text_of(error: &Error) -> String {
    if let Some(cause) = io_error(error) {
        return cause.to_string();
    }
    match error {
        Error::MySqlError(cause) => format!("{} ({})", cause.message, cause.code),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, text, _)))) => text.clone(),
        Error::DriverError(DriverError::ConnectTimeout) => "timeout".to_owned(),
        error => error.to_string(),
    }
}

/// The system's error under one of the driver.
fn io_error(error: &Error) -> Option<&io::Error> {
    match error {
        Error::IoError(cause) => Some(cause),
        Error::CodecError(cause) => cause.source()?.downcast_ref(),
        _ => None,
    }
}

fn bound(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::NULL,
        SqlValue::Integer(number) => Value::Int(*number),
        SqlValue::Real(number) => Value::Double(*number),
        SqlValue::Text(text) => Value::Bytes(text.as_bytes().to_vec()),
        SqlValue::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// Numbers as numbers where they are exact, all else as the server's own text.
fn value_of(value: Value, column: &Column) -> SqlValue {
    match value {
        Value::NULL => SqlValue::Null,
        Value::Int(number) => SqlValue::Integer(number),
        Value::UInt(number) => match i64::try_from(number) {
            Ok(number) => SqlValue::Integer(number),
            Err(_) => SqlValue::Text(number.to_string().into()),
        },
        // Through text, or 0.1 would become 0.10000000149.
        Value::Float(number) => SqlValue::Real(number.to_string().parse().unwrap_or_default()),
        Value::Double(number) => SqlValue::Real(number),
        Value::Bytes(bytes)
            if column.column_type() == ColumnType::MYSQL_TYPE_BIT && bytes.len() < 8 =>
        {
            let number = bytes
                .iter()
                .fold(0, |number, &byte| number << 8 | i64::from(byte));
            SqlValue::Integer(number)
        }
        Value::Bytes(bytes) => text_or_blob(bytes),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            if column.column_type() == ColumnType::MYSQL_TYPE_DATE {
                return SqlValue::Text(date.into());
            }
            let fraction = fraction(micros, column);
            SqlValue::Text(format!("{date} {hour:02}:{minute:02}:{second:02}{fraction}").into())
        }
        Value::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let sign = if is_negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            let fraction = fraction(micros, column);
            SqlValue::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}").into())
        }
    }
}

/// As many digits behind the point as the column has.
fn fraction(micros: u32, column: &Column) -> String {
    match usize::from(column.decimals()).min(6) {
        0 => String::new(),
        digits => format!(".{:.digits$}", format!("{micros:06}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, column_type: ColumnType, decimals: u8, want: SqlValue) {
        let column = Column::new(column_type).with_decimals(decimals);
        assert_eq!(value_of(value, &column), want);
    }

    fn text(text: &str) -> SqlValue {
        SqlValue::Text(text.into())
    }

    #[test]
    fn values_are_as_the_server_would_print_them() {
        use ColumnType::*;
        check(Value::NULL, MYSQL_TYPE_LONG, 0, SqlValue::Null);
        check(Value::Int(-7), MYSQL_TYPE_LONG, 0, SqlValue::Integer(-7));
        check(
            Value::UInt(u64::MAX),
            MYSQL_TYPE_LONGLONG,
            0,
            text("18446744073709551615"),
        );
        check(Value::Float(0.1), MYSQL_TYPE_FLOAT, 31, SqlValue::Real(0.1));
        check(
            Value::Bytes(b"12.50".to_vec()),
            MYSQL_TYPE_NEWDECIMAL,
            2,
            text("12.50"),
        );
        check(
            Value::Bytes(vec![1, 2]),
            MYSQL_TYPE_BIT,
            0,
            SqlValue::Integer(258),
        );
        check(
            Value::Bytes(vec![0xff]),
            MYSQL_TYPE_BLOB,
            0,
            SqlValue::Blob(vec![0xff].into()),
        );
        let noon = Value::Date(2026, 1, 2, 12, 0, 0, 120_000);
        check(noon.clone(), MYSQL_TYPE_DATE, 0, text("2026-01-02"));
        check(
            noon.clone(),
            MYSQL_TYPE_DATETIME,
            0,
            text("2026-01-02 12:00:00"),
        );
        check(
            noon,
            MYSQL_TYPE_DATETIME,
            3,
            text("2026-01-02 12:00:00.120"),
        );
        check(
            Value::Time(true, 2, 1, 2, 3, 0),
            MYSQL_TYPE_TIME,
            0,
            text("-49:02:03"),
        );
    }

    #[test]
    fn limits_are_told_to_the_server() {
        let sql = session(Duration::from_millis(1_500));
        assert!(sql.contains("innodb_lock_wait_timeout=2 "), "{sql}");
        assert!(
            sql.contains("max_statement_time=1.5 ") && sql.contains("max_execution_time=1500 ")
        );
    }
}
