//! Who may use which connection of one database, and who waits for one. Pure: opens and runs nothing, takes the
//! time as an argument. What is done with a connection is in [`super::access`].
//!
//! SQLite has one writer, so its connection is a lane of its own: a change that comes during another call's
//! transaction waits here and keeps no worker. A server's connections are one lane.

use std::collections::{HashMap, VecDeque};

use crate::limits::{DATABASE_LOST_MAX, DATABASE_WAITING_MAX};

/// What a job needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A connection that reads.
    Read,
    /// One that may change something; a transaction begins with it.
    Change,
    /// The one of its transaction, to end it.
    End,
}

/// A job and what it needs.
#[derive(Debug)]
pub(super) struct Asked<J> {
    pub job: J,
    pub need: Need,
    pub transaction: Option<u64>,
}

/// The right to use a connection, given back with [`Gate::give_back`], [`Gate::pin`] or [`Gate::lose`].
#[derive(Debug)]
pub(super) struct Permit<C> {
    /// `None`: there is room for one more, to be opened.
    pub conn: Option<C>,
    /// The transaction of the job has begun on it.
    pub begun: bool,
    lane: usize,
}

/// What becomes of a job.
#[derive(Debug)]
pub(super) enum Turn<C, J> {
    /// It goes on.
    Go(Permit<C>, Asked<J>),
    /// It will not.
    Refused(Refusal, Asked<J>),
    /// It is kept; [`Gate::poll`] gives it back.
    Kept,
}

/// Why a job does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many wait.
    Full,
    /// It waited too long.
    Late,
    /// Its transaction was rolled back, but not by its owner.
    Lost,
    /// There is nothing to end: the transaction has not begun.
    Unbegun,
}

/// How many connections there may be, and how long one may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// That change something, and that only read; 0 of the latter where those do both.
    pub lanes: [usize; 2],
    /// How long a job may wait.
    pub wait_ms: u64,
    /// How long a transaction may stand without a statement.
    pub transaction_ms: u64,
}

/// See the module's head. `C` is a connection, `J` a job.
#[derive(Debug)]
pub(super) struct Gate<C, J> {
    plan: Plan,
    lanes: [Lane<C>; 2],
    transactions: HashMap<u64, Transaction<C>>,
    /// Transactions that ended, but not by their owners, who are told once they come again.
    lost: VecDeque<u64>,
    waiting: VecDeque<Waiting<J>>,
}

#[derive(Debug)]
struct Lane<C> {
    idle: Vec<C>,
    out: usize,
}

#[derive(Debug)]
struct Transaction<C> {
    /// `None` while a statement runs.
    conn: Option<C>,
    lane: usize,
    since_ms: u64,
}

#[derive(Debug)]
struct Waiting<J> {
    asked: Asked<J>,
    until_ms: u64,
}

impl<C, J> Gate<C, J> {
    pub fn new(plan: Plan) -> Self {
        let lane = || Lane {
            idle: Vec::new(),
            out: 0,
        };
        Gate {
            plan,
            lanes: [lane(), lane()],
            transactions: HashMap::new(),
            lost: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Whether anything is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.lanes.iter().all(|lane| lane.out == 0)
    }

    /// Whether a transaction has begun here, or got lost here.
    pub fn knows(&self, transaction: u64) -> bool {
        self.transactions.contains_key(&transaction) || self.lost.contains(&transaction)
    }

    /// A job asks to go on.
    pub fn ask(&mut self, asked: Asked<J>, now_ms: u64) -> Turn<C, J> {
        match self.try_grant(asked.need, asked.transaction, true) {
            Some(Ok(permit)) => return Turn::Go(permit, asked),
            Some(Err(refusal)) => return Turn::Refused(refusal, asked),
            None if self.waiting.len() >= DATABASE_WAITING_MAX => {
                return Turn::Refused(Refusal::Full, asked);
            }
            None => {}
        }
        let until_ms = now_ms + self.plan.wait_ms;
        self.waiting.push_back(Waiting { asked, until_ms });
        Turn::Kept
    }

    /// A job that waited and goes on now, or has waited too long; [`Turn::Kept`] where there is none.
    pub fn poll(&mut self, now_ms: u64) -> Turn<C, J> {
        for at in 0..self.waiting.len() {
            let Waiting { asked, until_ms } = &self.waiting[at];
            let grant = match *until_ms <= now_ms {
                true => Some(Err(Refusal::Late)),
                false => self.try_grant(asked.need, asked.transaction, false),
            };
            if let Some(grant) = grant
                && let Some(Waiting { asked, .. }) = self.waiting.remove(at)
            {
                return match grant {
                    Ok(permit) => Turn::Go(permit, asked),
                    Err(refusal) => Turn::Refused(refusal, asked),
                };
            }
        }
        Turn::Kept
    }

    /// A transaction that stood still too long; it counts as lost. The connection is to be rolled back and
    /// given back.
    pub fn poll_stale(&mut self, now_ms: u64) -> Option<Permit<C>> {
        let limit_ms = self.plan.transaction_ms;
        let is_stale =
            |found: &Transaction<C>| found.conn.is_some() && found.since_ms + limit_ms <= now_ms;
        let found = self.transactions.iter().find(|(_, found)| is_stale(found));
        let transaction = *found?.0;
        let found = self.transactions.remove(&transaction)?;
        self.remember_lost(transaction);
        Some(Permit {
            conn: found.conn,
            begun: true,
            lane: found.lane,
        })
    }

    /// When to poll again though nothing was given back.
    pub fn next_ms(&self) -> Option<u64> {
        // All wait equally long, so the first of them is the first to have waited too long.
        let waiting = self.waiting.front().map(|waiting| waiting.until_ms);
        let standing = self
            .transactions
            .values()
            .filter(|found| found.conn.is_some());
        let stale = standing.map(|found| found.since_ms + self.plan.transaction_ms);
        waiting.into_iter().chain(stale).min()
    }

    /// The use is over; `None` for a connection that is gone.
    pub fn give_back(&mut self, permit: Permit<C>, transaction: Option<u64>) {
        if let Some(transaction) = transaction.filter(|_| permit.begun) {
            self.transactions.remove(&transaction);
        }
        let lane = &mut self.lanes[permit.lane];
        lane.out -= 1;
        lane.idle.extend(permit.conn);
    }

    /// The use is over; the connection stays with its transaction.
    pub fn pin(&mut self, permit: Permit<C>, transaction: u64, now_ms: u64) {
        let pinned = Transaction {
            conn: permit.conn,
            lane: permit.lane,
            since_ms: now_ms,
        };
        self.transactions.insert(transaction, pinned);
    }

    /// The use is over, and so is the transaction, though its owner did not end it.
    pub fn lose(&mut self, permit: Permit<C>, transaction: u64) {
        self.remember_lost(transaction);
        self.transactions.remove(&transaction);
        self.give_back(permit, None);
    }

    fn remember_lost(&mut self, transaction: u64) {
        if self.lost.len() >= DATABASE_LOST_MAX {
            self.lost.pop_front();
        }
        self.lost.push_back(transaction);
    }

    /// `None`: not yet. Who comes new stands behind those that wait already.
    fn try_grant(
        &mut self,
        need: Need,
        transaction: Option<u64>,
        is_new: bool,
    ) -> Option<Result<Permit<C>, Refusal>> {
        if let Some(transaction) = transaction {
            if let Some(at) = self.lost.iter().position(|&lost| lost == transaction) {
                if need == Need::End {
                    self.lost.remove(at);
                }
                return Some(Err(Refusal::Lost));
            }
            if let Some(found) = self.transactions.get_mut(&transaction) {
                let lane = found.lane;
                return found.conn.take().map(|conn| {
                    Ok(Permit {
                        conn: Some(conn),
                        begun: true,
                        lane,
                    })
                });
            }
        }
        if need == Need::End {
            return Some(Err(Refusal::Unbegun));
        }
        let at = self.lane(need);
        let is_behind = is_new
            && self
                .waiting
                .iter()
                .any(|waiting| self.lane(waiting.asked.need) == at);
        let max = self.plan.lanes[at];
        let lane = &mut self.lanes[at];
        if is_behind || lane.out >= max {
            return None;
        }
        lane.out += 1;
        Some(Ok(Permit {
            conn: lane.idle.pop(),
            begun: false,
            lane: at,
        }))
    }

    fn lane(&self, need: Need) -> usize {
        usize::from(need == Need::Read && self.plan.lanes[1] > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestGate = Gate<&'static str, u32>;

    fn gate(lanes: [usize; 2]) -> TestGate {
        Gate::new(Plan {
            lanes,
            wait_ms: 100,
            transaction_ms: 1_000,
        })
    }

    fn asked(job: u32, need: Need, transaction: Option<u64>) -> Asked<u32> {
        Asked {
            job,
            need,
            transaction,
        }
    }

    #[track_caller]
    fn go(turn: Turn<&'static str, u32>, job: u32) -> Permit<&'static str> {
        match turn {
            Turn::Go(permit, asked) if asked.job == job => permit,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(turn: Turn<&'static str, u32>, job: u32, want: Refusal) {
        match turn {
            Turn::Refused(refusal, asked) if asked.job == job => assert_eq!(refusal, want),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn kept(turn: Turn<&'static str, u32>) {
        assert!(matches!(turn, Turn::Kept), "{turn:?}");
    }

    fn opened(mut permit: Permit<&'static str>, name: &'static str) -> Permit<&'static str> {
        assert_eq!(permit.conn.replace(name), None);
        permit
    }

    #[test]
    fn connections_are_used_again_up_to_their_number() {
        let mut gate = gate([1, 2]);
        let first = opened(go(gate.ask(asked(1, Need::Read, None), 0), 1), "a");
        let second = opened(go(gate.ask(asked(2, Need::Read, None), 0), 2), "b");
        kept(gate.ask(asked(3, Need::Read, None), 0));
        kept(gate.poll(0));
        let writer = opened(go(gate.ask(asked(4, Need::Change, None), 0), 4), "w");
        gate.give_back(first, None);
        kept(gate.ask(asked(5, Need::Read, None), 0));
        let third = go(gate.poll(0), 3);
        assert_eq!(third.conn, Some("a"), "who came first, on what is there");
        kept(gate.poll(0));
        gate.give_back(second, None);
        go(gate.poll(0), 5);
        gate.give_back(writer, None);
        assert!(!gate.is_idle());
    }

    #[test]
    fn a_transaction_keeps_its_connection_until_it_ends() {
        let mut gate = gate([1, 1]);
        refused(
            gate.ask(asked(1, Need::End, Some(7)), 0),
            1,
            Refusal::Unbegun,
        );
        let read = go(gate.ask(asked(2, Need::Read, Some(7)), 0), 2);
        assert!(!read.begun, "it begins with its first change");
        gate.give_back(opened(read, "r"), Some(7));
        let change = go(gate.ask(asked(3, Need::Change, Some(7)), 0), 3);
        gate.pin(opened(change, "w"), 7, 0);
        kept(gate.ask(asked(4, Need::Change, None), 10));
        kept(gate.ask(asked(5, Need::Change, Some(8)), 10));
        let own = go(gate.ask(asked(6, Need::Read, Some(7)), 10), 6);
        assert!(own.begun && own.conn == Some("w"));
        kept(gate.ask(asked(7, Need::Change, Some(7)), 10));
        kept(gate.poll(10));
        gate.pin(own, 7, 10);
        let own = go(gate.poll(10), 7);
        gate.pin(own, 7, 10);
        let end = go(gate.ask(asked(8, Need::End, Some(7)), 20), 8);
        gate.give_back(end, Some(7));
        let next = go(gate.poll(20), 4);
        assert!(!next.begun && next.conn == Some("w"));
        gate.give_back(next, None);
        let next = go(gate.poll(20), 5);
        gate.give_back(next, None);
        assert!(gate.is_idle() && gate.next_ms().is_none());
    }

    #[test]
    fn who_waits_too_long_is_told() {
        let mut gate = gate([1, 0]);
        let held = go(gate.ask(asked(1, Need::Read, None), 0), 1);
        kept(gate.ask(asked(2, Need::Change, None), 5));
        kept(gate.ask(asked(3, Need::Read, None), 6));
        assert_eq!(gate.next_ms(), Some(105));
        kept(gate.poll(104));
        refused(gate.poll(105), 2, Refusal::Late);
        kept(gate.poll(105));
        gate.give_back(held, None);
        go(gate.poll(105), 3);
    }

    #[test]
    fn only_so_many_wait() {
        let mut gate = gate([1, 0]);
        go(gate.ask(asked(0, Need::Read, None), 0), 0);
        for job in 0..DATABASE_WAITING_MAX as u32 {
            kept(gate.ask(asked(job, Need::Read, None), 0));
        }
        refused(gate.ask(asked(9, Need::Read, None), 0), 9, Refusal::Full);
    }

    #[test]
    fn a_transaction_that_stands_still_is_taken_back_and_its_owner_told() {
        let mut gate = gate([1, 1]);
        let permit = go(gate.ask(asked(1, Need::Change, Some(7)), 0), 1);
        gate.pin(opened(permit, "w"), 7, 0);
        assert_eq!(gate.next_ms(), Some(1_000));
        let used = go(gate.ask(asked(2, Need::Read, Some(7)), 900), 2);
        assert!(gate.poll_stale(5_000).is_none(), "a statement runs");
        gate.pin(used, 7, 950);
        assert!(gate.poll_stale(1_949).is_none());
        let stale = gate.poll_stale(1_950).expect("it stood still");
        assert_eq!(stale.conn, Some("w"));
        gate.give_back(stale, None);
        for (job, need, want) in [
            (3, Need::Change, Refusal::Lost),
            (4, Need::Read, Refusal::Lost),
            (5, Need::End, Refusal::Lost),
            (6, Need::End, Refusal::Unbegun),
        ] {
            refused(gate.ask(asked(job, need, Some(7)), 2_000), job, want);
        }
        assert!(gate.is_idle());
    }

    #[test]
    fn a_lost_transaction_is_known_until_its_end_and_within_bounds() {
        let mut gate = gate([1, 1]);
        for transaction in 0..=DATABASE_LOST_MAX as u64 {
            let permit = go(gate.ask(asked(1, Need::Change, Some(transaction)), 0), 1);
            gate.lose(permit, transaction);
        }
        assert!(!gate.knows(0) && gate.knows(1));
        assert_eq!(gate.lost.len(), DATABASE_LOST_MAX);
        assert!(gate.is_idle());
    }
}
