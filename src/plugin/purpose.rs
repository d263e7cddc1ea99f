//! A coroutine as the scheduler knows it: what it is for, what it waits for, what has to be given up with it.

use std::rc::Rc;

use mlua::MultiValue;

use crate::ids::ConnId;
use crate::message::plugin::TaskId;
use crate::plugin::events::Handling;
use crate::plugin::loads::Loading;
use crate::plugin::program::{Program, Run};
use crate::plugin::sockets::SocketId;
use crate::plugin::task::Task as Coroutine;

/// What a coroutine is resumed with; text is raised as an error in it.
pub(super) type Resume = Result<MultiValue, String>;

/// A coroutine and what it is for.
pub(super) struct Task {
    pub coroutine: Coroutine,
    pub program: Rc<Program>,
    pub purpose: Purpose,
    /// Whose handler it is: answers of what it does go behind what it pushes.
    pub on_behalf: Option<ConnId>,
    /// The database transaction that its changes belong to.
    pub transaction: Option<Transaction>,
    /// What it waits for.
    pub waits: Waits,
}

/// A call's database transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub id: u64,
    /// Ended with the call; else with the batch that it is part of.
    pub is_own: bool,
    /// Something was asked of the database in it.
    pub is_begun: bool,
}

/// What a coroutine waits for, as far as that has to be given up with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing, or what nobody need be told of.
    Plainly,
    /// Calls of URLs.
    Http(TaskId),
    /// A socket to be read or written.
    Socket(TaskId, SocketId),
    /// The address of a name that is to be connected to.
    Address(TaskId),
    /// A socket to be connected.
    Connect(TaskId, SocketId),
}

/// What a coroutine is for.
pub(super) enum Purpose {
    /// Loads one file after another.
    Load(Box<Loading>),
    /// Answers a call, or writes an answer; the transaction of the batch that it is part of.
    Call(Option<ConnId>, Box<Run>, Option<u64>),
    /// Handles an event, with those that come behind it.
    Handle(Box<Handling>),
    /// Serves a connection, which is closed at its end.
    Socket(SocketId),
    /// `safeGo`, a timer, a datagram: nobody waits for it.
    Free,
}

impl Purpose {
    /// Whether nobody waits for its end: it may take as long as it likes.
    pub fn is_free(&self) -> bool {
        matches!(self, Purpose::Free | Purpose::Socket(_))
    }
}
