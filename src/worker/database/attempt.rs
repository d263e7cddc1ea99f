//! One job on one connection: opens one where there is none, retries where that is safe, and tells who may use the
//! connection next. Never waits for a turn: whoever comes here has had it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::message::api_log::ApiRecord;
use crate::message::database::{DatabaseAnswer, DatabaseDone, DatabaseJob, DatabaseOp};
use crate::worker::database::api_log;
use crate::worker::database::connection::{Connection, Fault, Statement, Unopened};
use crate::worker::database::gate::Need;
use crate::worker::database::settings::DatabaseSettings;
use crate::worker::database::sql;
use crate::worker::database::unreachable::Unreachable;

/// What is to be done.
pub(super) enum Work {
    Job(DatabaseJob),
    /// Calls for the table ApiLog.
    Records(Vec<ApiRecord>),
}

/// Who uses a connection when it is given back.
pub(super) enum Fate {
    /// Anyone.
    Free,
    /// Its transaction only.
    Pinned,
    /// Anyone; its transaction is over, though nobody ended it.
    Lost,
    /// Anyone; the job needs another one, for it changes something.
    Change,
}

/// What is known of a job once it is its turn.
pub(super) struct Attempt<'a> {
    pub settings: &'a DatabaseSettings,
    pub unreachable: &'a Unreachable,
    /// Statements are to stop.
    pub ended: &'a Arc<AtomicBool>,
    /// Its transaction has begun on the connection.
    pub is_begun: bool,
    /// It belongs to a transaction.
    pub is_in_transaction: bool,
    pub need: Need,
}

impl Attempt<'_> {
    /// Does a job on a connection, which is left in `slot` if it is of any more use.
    pub fn perform(&self, slot: &mut Option<Connection>, work: &Work) -> (DatabaseDone, Fate) {
        let op = match work {
            Work::Records(records) => {
                let attempt = |conn: &mut Connection| {
                    // What an attempt wrote was rolled back with its connection.
                    api_log::write(conn, records, self.deadline()).map_err(|fault| (fault, true))
                };
                return match self.perform_first(slot, Need::Change, true, attempt) {
                    Ok(()) => (Ok(DatabaseAnswer::Ended), Fate::Free),
                    Err(fault) => (Err(fault.into_text()), Fate::Free),
                };
            }
            Work::Job(job) => &job.op,
        };
        let statement = match op {
            DatabaseOp::End { commit } => return end(slot, *commit),
            DatabaseOp::Query { sql, values } => Statement {
                sql,
                values,
                is_query: true,
            },
            DatabaseOp::Exec { sql, values } => Statement {
                sql,
                values,
                is_query: false,
            },
        };
        if let Some(word) = sql::transaction_word(statement.sql) {
            let text =
                format!("a call's transaction begins and ends by itself: `{word}` is not run");
            let fate = match self.is_begun {
                true => Fate::Pinned,
                false => Fate::Free,
            };
            return (Err(text.into()), fate);
        }
        if self.is_begun {
            return self.perform_within(slot, statement);
        }
        let begins = self.is_in_transaction && self.need == Need::Change;
        let attempt = |conn: &mut Connection| self.try_first(conn, statement, begins);
        let outcome = self.perform_first(slot, self.need, !begins, attempt);
        if outcome.is_err() || !begins {
            let tidied = slot.as_mut().map(Connection::tidy);
            if matches!(tidied, Some(Err(_))) {
                *slot = None;
            }
        }
        match outcome {
            Ok(answer) => (Ok(answer), if begins { Fate::Pinned } else { Fate::Free }),
            Err(Fault::IsChange) => (Err(Fault::IsChange.into_text()), Fate::Change),
            Err(fault) => (Err(fault.into_text()), Fate::Free),
        }
    }

    /// A statement within a transaction that has begun.
    fn perform_within(
        &self,
        slot: &mut Option<Connection>,
        statement: Statement<'_>,
    ) -> (DatabaseDone, Fate) {
        let Some(conn) = slot else {
            return (Err("the connection was lost".into()), Fate::Lost);
        };
        match conn.run(statement, self.deadline()) {
            Ok(answer) => (Ok(answer), Fate::Pinned),
            Err(Fault::Refused(text)) => (Err(text), Fate::Pinned),
            Err(Fault::IsChange) => (Err("this connection only reads".into()), Fate::Pinned),
            Err(Fault::RolledBack(text)) => {
                if conn.tidy().is_err() {
                    *slot = None;
                }
                (Err(text), Fate::Lost)
            }
            Err(Fault::Lost(text)) => {
                *slot = None;
                (Err(text), Fate::Lost)
            }
        }
    }

    /// A statement on its own, or the first of a transaction. A connection that was lost is opened anew, and the
    /// attempt is made again where its error says that it may: where it changed nothing, for the server may have done
    /// it. `is_checked`: a connection that was idle is asked first.
    fn perform_first<X>(
        &self,
        slot: &mut Option<Connection>,
        need: Need,
        is_checked: bool,
        attempt: impl Fn(&mut Connection) -> Result<X, (Fault, bool)>,
    ) -> Result<X, Fault> {
        let mut may_retry = true;
        loop {
            let ready = match slot {
                Some(conn) => conn
                    .check(need == Need::Change && is_checked)
                    .map_err(|fault| (fault, true)),
                None => {
                    may_retry = false;
                    *slot = Some(self.open(need == Need::Read)?);
                    Ok(())
                }
            };
            let outcome = ready.and_then(|()| match slot {
                Some(conn) => attempt(conn),
                None => Err((Fault::Lost("the connection was lost".into()), true)),
            });
            match outcome {
                Ok(answer) => return Ok(answer),
                Err((Fault::Lost(text), is_safe)) => {
                    *slot = None;
                    if !may_retry || !is_safe {
                        return Err(Fault::Lost(text));
                    }
                }
                Err((fault, _)) => return Err(fault),
            }
        }
    }

    fn open(&self, reads_only: bool) -> Result<Connection, Fault> {
        let DatabaseSettings {
            target,
            timeout,
            test_mode,
        } = self.settings;
        let opened = Connection::open(target, reads_only, *timeout, self.ended);
        opened.map_err(|unopened| {
            Fault::Refused(match unopened {
                Unopened::Unnamed(why) => why,
                Unopened::Unreachable(reason) => self.unreachable.handle(reason, *test_mode),
            })
        })
    }

    /// One attempt. The error tells whether it may be made again.
    fn try_first(
        &self,
        conn: &mut Connection,
        statement: Statement<'_>,
        begins: bool,
    ) -> Result<DatabaseAnswer, (Fault, bool)> {
        if !begins {
            let outcome = conn.run(statement, self.deadline());
            return outcome.map_err(|fault| (fault, self.need == Need::Read));
        }
        conn.begin().map_err(|fault| (fault, true))?;
        let outcome = conn.run(statement, self.deadline());
        outcome.map_err(|fault| match (fault, conn.end(false)) {
            (Fault::Refused(text) | Fault::RolledBack(text), Err(_)) => (Fault::Lost(text), false),
            // Whatever it did, it was rolled back with its connection.
            (fault, _) => (fault, true),
        })
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }
}

fn end(slot: &mut Option<Connection>, commit: bool) -> (DatabaseDone, Fate) {
    let Some(conn) = slot else {
        return (Err("the connection was lost".into()), Fate::Free);
    };
    let outcome = conn.end(commit);
    let is_good = !matches!(outcome, Err(Fault::Lost(_))) && conn.tidy().is_ok();
    if !is_good {
        *slot = None;
    }
    match outcome {
        Err(fault) if commit => (Err(fault.into_text()), Fate::Free),
        _ => (Ok(DatabaseAnswer::Ended), Fate::Free),
    }
}
