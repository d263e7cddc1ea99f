//! Databases for workers: takes a job, gets it a connection or has it wait; what is done with the connection is in
//! [`super::attempt`]. Follows the settings; a database that they no longer name goes on until its transactions have ended.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::DATABASE_TRANSACTION_MS_MAX;
use crate::message::api_log::ApiRecord;
use crate::message::database::{DatabaseAnswer, DatabaseDone, DatabaseJob, DatabaseOp};
use crate::worker::database::attempt::{Attempt, Fate, Work};
use crate::worker::database::connection::{Connection, Target};
use crate::worker::database::gate::{Asked, Gate, Need, Permit, Plan, Refusal, Turn};
use crate::worker::database::settings::DatabaseSettings;
use crate::worker::database::sql;
use crate::worker::database::unreachable::Unreachable;

/// The database that `P_DB` names, for any worker. `T` names a job.
pub struct Database<T> {
    clock: Instant,
    bases: Mutex<Bases<T>>,
    ended: Arc<AtomicBool>,
}

struct Bases<T> {
    current: Arc<Base<T>>,
    /// Those before it that have transactions or jobs under way.
    retired: Vec<Arc<Base<T>>>,
}

/// One database as the settings named it at a time.
struct Base<T> {
    settings: DatabaseSettings,
    unreachable: Unreachable,
    gate: Mutex<Gate<Connection, Named<T>>>,
}

struct Named<T> {
    name: T,
    work: Work,
}

/// A job's answer, under its name.
#[derive(Debug)]
pub struct Answered<T> {
    /// As given.
    pub name: T,
    /// The answer.
    pub done: DatabaseDone,
    /// What was run, where it took that long: `None` for the end of a transaction.
    pub took: Option<(Box<str>, Duration)>,
}

/// What is there to do for a worker that is done with its job.
#[derive(Debug)]
pub enum Waiting<T> {
    /// A job that waited was done.
    Answered(Answered<T>),
    /// Nothing yet; look again after that, unless something is done before.
    Until(Duration),
    /// Nothing.
    None,
}

/// Nobody leaves a lock half done: what may panic runs without it.
fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> fmt::Debug for Database<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl<T> Default for Database<T> {
    /// None, until settings name one.
    fn default() -> Self {
        Database::new(DatabaseSettings {
            target: Target::None("no database is set up".into()),
            timeout: Duration::ZERO,
            test_mode: false,
        })
    }
}

impl<T> Database<T> {
    /// Nothing is opened before it is asked for.
    pub fn new(settings: DatabaseSettings) -> Self {
        Database {
            clock: Instant::now(),
            bases: Mutex::new(Bases {
                current: Arc::new(Base::new(settings)),
                retired: Vec::new(),
            }),
            ended: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Jobs that come from now on, but for those of transactions that have begun, obey these settings.
    pub fn set(&self, settings: DatabaseSettings) {
        let mut bases = lock(&self.bases);
        if bases.current.settings != settings {
            let before = std::mem::replace(&mut bases.current, Arc::new(Base::new(settings)));
            bases.retired.push(before);
        }
    }

    /// Stops the statements of SQLite that run, and every later one. For the end.
    pub fn interrupt(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }

    /// Does a job; may block, at most about as long as `db_timeout`. `None`: it waits for its turn, and
    /// [`Database::poll`] will do it.
    pub fn run(&self, name: T, job: DatabaseJob) -> Option<Answered<T>> {
        let need = match &job.op {
            DatabaseOp::End { .. } => Need::End,
            DatabaseOp::Query { sql, .. } if sql::is_read(sql) => Need::Read,
            DatabaseOp::Query { .. } | DatabaseOp::Exec { .. } => Need::Change,
        };
        let asked = Asked {
            need,
            transaction: job.transaction,
            job: Named {
                name,
                work: Work::Job(job),
            },
        };
        let base = self.base_of(asked.transaction);
        self.ask(&base, asked)
    }

    /// Writes calls into the table ApiLog, all or none; else as [`Database::run`].
    pub fn log(&self, name: T, records: Vec<ApiRecord>) -> Option<Answered<T>> {
        let asked = Asked {
            need: Need::Change,
            transaction: None,
            job: Named {
                name,
                work: Work::Records(records),
            },
        };
        let base = self.base_of(None);
        self.ask(&base, asked)
    }

    /// Does one job that waited and may go on, if there is one, and what else is due. To be called by a worker
    /// after each job and after the time told, until there is nothing.
    pub fn poll(&self) -> Waiting<T> {
        let bases = {
            let mut bases = lock(&self.bases);
            // Whoever holds one may still ask there.
            bases
                .retired
                .retain(|base| Arc::strong_count(base) > 1 || !lock(&base.gate).is_idle());
            let mut all = bases.retired.clone();
            all.push(Arc::clone(&bases.current));
            all
        };
        let mut next_ms: Option<u64> = None;
        for base in bases {
            self.roll_back_stale(&base);
            // Not in the loop's head: the lock would last as long as its body.
            loop {
                let turn = lock(&base.gate).poll(self.now_ms());
                match turn {
                    Turn::Kept => break,
                    turn => {
                        if let Some(answered) = self.take_turn(&base, turn) {
                            return Waiting::Answered(answered);
                        }
                    }
                }
            }
            let next = lock(&base.gate).next_ms();
            next_ms = next_ms.into_iter().chain(next).min();
        }
        match next_ms {
            None => Waiting::None,
            Some(at_ms) => {
                Waiting::Until(Duration::from_millis(at_ms.saturating_sub(self.now_ms())))
            }
        }
    }

    fn roll_back_stale(&self, base: &Base<T>) {
        loop {
            let stale = lock(&base.gate).poll_stale(self.now_ms());
            let Some(mut permit) = stale else {
                return;
            };
            log::warn!(
                "a transaction stood still for {DATABASE_TRANSACTION_MS_MAX} ms: rolled back"
            );
            let mut conn = permit.conn.take();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                let conn = conn.as_mut()?;
                conn.end(false).and_then(|()| conn.tidy()).ok()
            }));
            permit.conn = conn.filter(|_| matches!(ended, Ok(Some(()))));
            lock(&base.gate).give_back(permit, None);
        }
    }

    fn base_of(&self, transaction: Option<u64>) -> Arc<Base<T>> {
        let bases = lock(&self.bases);
        let is_its = |base: &&Arc<Base<T>>| {
            transaction.is_some_and(|transaction| lock(&base.gate).knows(transaction))
        };
        let found = bases.retired.iter().find(is_its);
        Arc::clone(found.unwrap_or(&bases.current))
    }

    fn ask(&self, base: &Base<T>, asked: Asked<Named<T>>) -> Option<Answered<T>> {
        let turn = lock(&base.gate).ask(asked, self.now_ms());
        self.take_turn(base, turn)
    }

    fn take_turn(&self, base: &Base<T>, turn: Turn<Connection, Named<T>>) -> Option<Answered<T>> {
        match turn {
            Turn::Kept => None,
            Turn::Go(permit, asked) => self.go(base, permit, asked),
            Turn::Refused(refusal, asked) => {
                let done = base.refused(refusal, &asked.job.work);
                Some(asked.answered(done, None))
            }
        }
    }

    /// Uses a connection for a job and gives it back.
    fn go(
        &self,
        base: &Base<T>,
        mut permit: Permit<Connection>,
        mut asked: Asked<Named<T>>,
    ) -> Option<Answered<T>> {
        let begun = Instant::now();
        let mut conn = permit.conn.take();
        let attempt = Attempt {
            settings: &base.settings,
            unreachable: &base.unreachable,
            ended: &self.ended,
            is_begun: permit.begun,
            is_in_transaction: asked.transaction.is_some(),
            need: asked.need,
        };
        let work = || attempt.perform(&mut conn, &asked.job.work);
        let (done, fate) = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(outcome) => outcome,
            Err(_) => {
                // Nobody knows what it stands at.
                conn = None;
                let fate = if permit.begun { Fate::Lost } else { Fate::Free };
                (Err("a worker failed: see the server's log".into()), fate)
            }
        };
        permit.conn = conn;
        let mut gate = lock(&base.gate);
        match (fate, asked.transaction) {
            (Fate::Pinned, Some(transaction)) => {
                permit.begun = true;
                gate.pin(permit, transaction, self.now_ms());
            }
            (Fate::Lost, Some(transaction)) => gate.lose(permit, transaction),
            (Fate::Change, _) => {
                gate.give_back(permit, None);
                drop(gate);
                asked.need = Need::Change;
                return self.ask(base, asked);
            }
            (_, transaction) => gate.give_back(permit, transaction),
        }
        drop(gate);
        Some(asked.answered(done, Some(begun.elapsed())))
    }
}

impl<T> Asked<Named<T>> {
    fn answered(self, done: DatabaseDone, took: Option<Duration>) -> Answered<T> {
        let Named { name, work } = self.job;
        let sql = match work {
            Work::Job(job) => match job.op {
                DatabaseOp::Query { sql, .. } | DatabaseOp::Exec { sql, .. } => Some(sql),
                DatabaseOp::End { .. } => None,
            },
            Work::Records(_) => None,
        };
        Answered {
            name,
            done,
            took: sql.zip(took),
        }
    }
}

impl<T> Base<T> {
    fn new(settings: DatabaseSettings) -> Self {
        let gate = Gate::new(Plan {
            lanes: settings.target.lanes(),
            wait_ms: settings.timeout.as_millis() as u64,
            transaction_ms: DATABASE_TRANSACTION_MS_MAX,
        });
        Base {
            settings,
            unreachable: Unreachable::default(),
            gate: Mutex::new(gate),
        }
    }

    fn refused(&self, refusal: Refusal, work: &Work) -> DatabaseDone {
        let is_rollback =
            matches!(work, Work::Job(job) if job.op == DatabaseOp::End { commit: false });
        let text = match (refusal, is_rollback) {
            (Refusal::Unbegun, _) | (Refusal::Lost, true) => return Ok(DatabaseAnswer::Ended),
            (Refusal::Lost, _) => "the transaction was rolled back before".into(),
            (Refusal::Full, _) => "too many statements wait for the database".into(),
            (Refusal::Late, _) => {
                let ms = self.settings.timeout.as_millis();
                format!("timeout: others held the database for {ms} ms").into()
            }
        };
        Err(text)
    }
}

#[cfg(test)]
mod tests;
