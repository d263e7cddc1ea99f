//! One TCP connection of a plugin: what came and is not read yet, what is to be written, and who waits for either.
//! Reads only what a coroutine waits for: the rest stays with the system, and so slows its sender down. Knows bytes
//! and who waits, never the other sockets.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use memchr::memchr;
use mio::net::TcpStream;

use crate::limits::{
    PLUGIN_SOCKET_BUFFER_BYTES, PLUGIN_SOCKET_READ_BYTES_MAX, PLUGIN_SOCKET_SETTLE_READS_MAX,
    PLUGIN_SOCKET_WRITE_BYTES_MAX,
};
use crate::message::plugin::TaskId;

/// How much a coroutine wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Up to a line feed, which is left out, and a carriage return before it.
    Line,
    /// That many bytes.
    Exactly(usize),
    /// What there is.
    Some,
}

/// What a wait gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was read.
    Data(Vec<u8>),
    /// The peer sends no more, and what it sent does not suffice.
    End,
    /// All is written, or the connection is made.
    Done,
    /// The socket is of no use any more: why.
    Failed(String),
}

/// What a connection may use while it is looked at.
pub(super) struct Means<'a> {
    /// To read into.
    pub buffer: &'a mut [u8],
    /// Bytes that it may hold beyond those that it holds.
    pub room: usize,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub io: TcpStream,
    connecting: Option<TaskId>,
    input: VecDeque<u8>,
    /// So many bytes of it hold no line feed.
    searched: usize,
    reader: Option<(TaskId, Want)>,
    output: VecDeque<u8>,
    writer: Option<TaskId>,
    /// The peer sends no more.
    has_ended: bool,
    /// There may be more to read though no edge will come.
    may_read: bool,
    failure: Option<String>,
}

impl Stream {
    /// A connection that is there, or that `connecting` waits for.
    pub fn new(io: TcpStream, connecting: Option<TaskId>) -> Self {
        // Small messages in both directions: none should wait for the next.
        let _ = io.set_nodelay(true);
        Stream {
            io,
            connecting,
            input: VecDeque::new(),
            searched: 0,
            reader: None,
            output: VecDeque::new(),
            writer: None,
            has_ended: false,
            may_read: false,
            failure: None,
        }
    }

    /// Bytes that are kept here.
    pub fn held(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// All who wait.
    pub fn waiting(&self) -> impl Iterator<Item = TaskId> {
        let reader = self.reader.map(|(task, _)| task);
        [reader, self.writer, self.connecting].into_iter().flatten()
    }

    /// Reads: at once, or `None` and `task` waits.
    pub fn read(&mut self, want: Want, task: TaskId, means: Means<'_>) -> Option<Outcome> {
        if self.reader.is_some() {
            return Some(Outcome::Failed(
                "another coroutine reads this socket".to_owned(),
            ));
        }
        let outcome = self.take(want).or_else(|| self.receive(want, means));
        if outcome.is_none() {
            self.reader = Some((task, want));
        }
        outcome
    }

    /// There may be something to read: the wait that is over.
    pub fn handle_readable(&mut self, means: Means<'_>) -> Option<(TaskId, Outcome)> {
        self.may_read = true;
        let (task, want) = self.reader?;
        let outcome = self.receive(want, means)?;
        self.reader = None;
        Some((task, outcome))
    }

    /// Reads until what is wanted is there, or no more is.
    fn receive(&mut self, want: Want, means: Means<'_>) -> Option<Outcome> {
        let room = self.held() + means.room;
        while self.may_read && self.failure.is_none() && !self.has_ended {
            match self.io.read(means.buffer) {
                Ok(0) => self.has_ended = true,
                Ok(len) => {
                    self.input.extend(&means.buffer[..len]);
                    if self.held() > room {
                        self.failure = Some("too many bytes wait in sockets of plugins".to_owned());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => drop(self.fail(&error)),
            }
            if let Some(outcome) = self.take(want) {
                return Some(outcome);
            }
        }
        self.take(want)
    }

    /// Takes what is wanted out of what is kept; `None` where it is not there yet.
    fn take(&mut self, want: Want) -> Option<Outcome> {
        let there = self.input.len();
        let taken = match want {
            Want::Some if there > 0 => Some(there),
            Want::Exactly(wanted) if wanted <= there => Some(wanted),
            Want::Line => self.find_line(),
            _ => None,
        };
        if let Some(taken) = taken {
            let mut data: Vec<u8> = self.input.drain(..taken).collect();
            self.searched = 0;
            if self.input.is_empty() {
                self.input.shrink_to(PLUGIN_SOCKET_BUFFER_BYTES);
            }
            if want == Want::Line {
                data.pop();
                if data.last() == Some(&b'\r') {
                    data.pop();
                }
            }
            return Some(Outcome::Data(data));
        }
        if let Some(failure) = &self.failure {
            return Some(Outcome::Failed(failure.clone()));
        }
        if there >= PLUGIN_SOCKET_READ_BYTES_MAX {
            let text = format!("no line within {PLUGIN_SOCKET_READ_BYTES_MAX} bytes");
            return Some(Outcome::Failed(text));
        }
        self.has_ended.then_some(Outcome::End)
    }

    /// Bytes up to and with the first line feed. None is looked at twice, however slowly they come.
    fn find_line(&mut self) -> Option<usize> {
        let (front, back) = self.input.as_slices();
        let in_front = front.get(self.searched..).unwrap_or_default();
        let in_back = &back[self.searched.saturating_sub(front.len())..];
        let found = match memchr(b'\n', in_front) {
            Some(at) => Some(self.searched + at),
            None => memchr(b'\n', in_back).map(|at| self.searched.max(front.len()) + at),
        };
        self.searched = self.input.len();
        found.map(|at| at + 1)
    }

    /// Writes: `None` and `task` waits until all of it is taken by the system.
    pub fn write(&mut self, data: &[u8], task: TaskId, room: usize) -> Option<Outcome> {
        if let Some(failure) = &self.failure {
            return Some(Outcome::Failed(failure.clone()));
        }
        if self.writer.is_some() {
            return Some(Outcome::Failed(
                "another coroutine writes to this socket".to_owned(),
            ));
        }
        if data.len() > PLUGIN_SOCKET_WRITE_BYTES_MAX {
            let text = format!("more than {PLUGIN_SOCKET_WRITE_BYTES_MAX} bytes in one write");
            return Some(Outcome::Failed(text));
        }
        let rest = match send(&mut self.io, data) {
            Ok(sent) => &data[sent..],
            Err(error) => return Some(self.fail(&error)),
        };
        if rest.is_empty() {
            return Some(Outcome::Done);
        }
        if rest.len() > room {
            let text = "too many bytes wait in sockets of plugins".to_owned();
            if rest.len() < data.len() {
                self.failure = Some(text.clone());
            }
            return Some(Outcome::Failed(text));
        }
        self.output.extend(rest);
        self.writer = Some(task);
        None
    }

    /// It may be written to: the waits that are over, of a connection being made and of a write.
    pub fn handle_writable(&mut self) -> [Option<(TaskId, Outcome)>; 2] {
        let connected = self.connecting.and_then(|task| {
            let outcome = match self.io.take_error() {
                Ok(Some(error)) | Err(error) => self.fail(&error),
                Ok(None) => match self.io.peer_addr() {
                    Err(error) if error.kind() == ErrorKind::NotConnected => return None,
                    Err(error) => self.fail(&error),
                    Ok(_) => Outcome::Done,
                },
            };
            self.connecting = None;
            Some((task, outcome))
        });
        let written = self.writer.and_then(|task| {
            let outcome = match self.flush() {
                Ok(false) => return None,
                Ok(true) => Outcome::Done,
                Err(error) => self.fail(&error),
            };
            self.writer = None;
            Some((task, outcome))
        });
        [connected, written]
    }

    /// Whether all is written.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            let sent = send(&mut self.io, self.output.as_slices().0)?;
            if sent == 0 {
                return Ok(false);
            }
            self.output.drain(..sent);
        }
        self.output = VecDeque::new();
        Ok(true)
    }

    /// Ends what a coroutine waits for: its time is over.
    pub fn forget(&mut self, task: TaskId) {
        if self.reader.is_some_and(|(reader, _)| reader == task) {
            self.reader = None;
        }
        if self.writer == Some(task) {
            // Half of a write is out: nothing that follows would make sense.
            self.failure = Some("a write was given up".to_owned());
            self.writer = None;
            self.output = VecDeque::new();
        }
    }

    /// Before it is closed: what came is read, or its end would be a reset that destroys what was written.
    pub fn settle(&mut self, buffer: &mut [u8]) {
        if self.io.shutdown(Shutdown::Write).is_err() {
            return;
        }
        for _ in 0..PLUGIN_SOCKET_SETTLE_READS_MAX {
            match self.io.read(buffer) {
                Ok(len) if len > 0 => {}
                _ => return,
            }
        }
    }

    fn fail(&mut self, error: &io::Error) -> Outcome {
        let text = error.to_string();
        self.failure = Some(text.clone());
        Outcome::Failed(text)
    }
}

/// Hands bytes to the system; how many it took.
fn send(io: &mut TcpStream, data: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < data.len() {
        match io.write(&data[sent..]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
