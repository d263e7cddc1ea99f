//! The peers of a simulation: what each asks, and what answer that deserves.

use std::collections::{HashMap, VecDeque};

use super::wire::{Reader, Rng, frame};
use crate::ids::ConnId;

/// A message somebody pushes; its text begins with its number in the list of all.
#[derive(Debug)]
pub struct Msg {
    pub owner: usize,
    /// Bytes of the owner's stream that hold the call.
    pub end: u64,
    pub app: String,
    pub spec: Vec<String>,
    pub text: String,
    /// Its text ends in the first answer of its batch.
    pub refers: bool,
    pub suffix: Option<String>,
    /// Stands behind something that ends its call.
    pub forbidden: bool,
    /// The entry into the server in which its call was answered.
    pub done: Option<u64>,
    /// Peers that took it, and where it ends in their streams.
    pub took: Vec<(usize, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    One,
    List { bad: bool },
    Batch,
    WebSocket,
}

/// The answer that a request deserves.
#[derive(Debug)]
pub enum Want {
    Status(u16),
    File,
    Users(String),
    Call(Shape, Vec<Option<u32>>),
    Poll(String, String),
    Upgrade,
    Init(String, String),
    Text(&'static str),
    Error,
    /// A text or none, then this close code.
    Fatal(Option<&'static str>, u16),
    Pong(Vec<u8>),
    CloseBack(u16),
    Silent,
}

#[derive(Debug)]
pub struct Op {
    /// Where it ends in the peer's stream.
    pub end: u64,
    pub want: Want,
    pub head: bool,
    pub closes: bool,
    pub expects: bool,
    pub start: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Caller,
    Poller,
    WebSocket { inited: bool },
    Over,
}

/// A place in the hub.
#[derive(Clone, Debug)]
pub struct Member {
    pub app: String,
    pub user: String,
    pub since: u64,
    pub arrival: u64,
}

/// One peer: its socket on both sides, and what the model knows about it.
#[derive(Debug)]
pub struct Peer {
    pub id: Option<ConnId>,
    pub dead: bool,
    pub script: Script,
    /// Made and not sent; sent and not read by the server; read by it.
    pub unsent: VecDeque<u8>,
    pub arrived: VecDeque<u8>,
    pub made: u64,
    pub handed: u64,
    pub fin: bool,
    pub reset: bool,
    /// Bytes that the socket takes.
    pub room: usize,
    /// The socket refused bytes since.
    pub full: bool,
    /// Last entry in which it could not be sent everything.
    pub held_up: u64,
    pub edge_read: bool,
    pub edge_write: bool,
    pub shut: bool,
    pub talks: bool,
    pub ops: VecDeque<Op>,
    pub reader: Reader,
    /// In the server's queue.
    pub promised: VecDeque<u8>,
    pub promised_end: u64,
    pub written: u64,
    pub cost: usize,
    pub closing: bool,
    pub close_code: Option<u16>,
    pub pings: VecDeque<u64>,
    pub member: Option<Member>,
    pub last_from: HashMap<usize, u32>,
    /// Replies, by where they begin, and what must be written before them.
    #[expect(
        clippy::type_complexity,
        reason = "begin, end, and per receiver how much"
    )]
    pub behind: VecDeque<(u64, u64, Vec<(usize, u64)>)>,
}

impl Peer {
    pub fn new(script: Script) -> Self {
        Peer {
            id: None,
            dead: false,
            script,
            unsent: VecDeque::new(),
            arrived: VecDeque::new(),
            made: 0,
            handed: 0,
            fin: false,
            reset: false,
            room: usize::MAX,
            full: false,
            held_up: 0,
            edge_read: false,
            edge_write: true,
            shut: false,
            talks: true,
            ops: VecDeque::new(),
            reader: Reader::default(),
            promised: VecDeque::new(),
            promised_end: 0,
            written: 0,
            cost: 0,
            closing: false,
            close_code: None,
            pings: VecDeque::new(),
            member: None,
            last_from: HashMap::new(),
            behind: VecDeque::new(),
        }
    }

    pub fn is_alive(&self) -> bool {
        self.id.is_some() && !self.dead
    }

    pub fn add(&mut self, bytes: &[u8], want: Want) -> &mut Op {
        self.unsent.extend(bytes);
        self.made += bytes.len() as u64;
        self.ops.push_back(Op {
            end: self.made,
            want,
            head: false,
            closes: false,
            expects: false,
            start: None,
        });
        self.ops.back_mut().expect("just added")
    }

    /// Says something that asks for nothing.
    pub fn say(&mut self, rng: &mut Rng, first: u8, payload: &[u8]) {
        let bytes = frame(rng, first, payload);
        self.add(&bytes, Want::Silent);
    }
}
