//! One TCP connection of a plugin: what came and is not read yet, what is to be written, and who waits for either.
//! Knows bytes and who waits, never the other sockets.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use memchr::memchr;
use mio::net::TcpStream;

use crate::limits::{PLUGIN_SOCKET_BUFFER_BYTES, PLUGIN_SOCKET_READ_BYTES_MAX};
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

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub io: TcpStream,
    pub connecting: Option<TaskId>,
    input: VecDeque<u8>,
    pub reader: Option<(TaskId, Want)>,
    pub output: VecDeque<u8>,
    pub writer: Option<TaskId>,
    /// The peer sends no more.
    has_ended: bool,
    /// The buffer was full: there may be more to read though no edge will come.
    pub may_read: bool,
    pub failure: Option<String>,
}

impl Stream {
    pub fn new(io: TcpStream) -> Self {
        // Small messages in both directions: none should wait for the next.
        let _ = io.set_nodelay(true);
        Stream {
            io,
            connecting: None,
            input: VecDeque::new(),
            reader: None,
            output: VecDeque::new(),
            writer: None,
            has_ended: false,
            may_read: false,
            failure: None,
        }
    }

    pub fn fail(&mut self, error: &io::Error) -> Outcome {
        let text = error.to_string();
        self.failure = Some(text.clone());
        Outcome::Failed(text)
    }

    /// Takes what is wanted out of the buffer; `None` where it is not there yet.
    pub fn take(&mut self, want: Want) -> Option<Outcome> {
        let there = self.input.len();
        let taken = match want {
            Want::Some if there > 0 => Some(there),
            Want::Exactly(wanted) if wanted <= there => Some(wanted),
            Want::Line => memchr(b'\n', self.input.make_contiguous()).map(|at| at + 1),
            _ => None,
        };
        if let Some(taken) = taken {
            let mut data: Vec<u8> = self.input.drain(..taken).collect();
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

    pub fn receive(&mut self, buffer: &mut [u8]) {
        while self.failure.is_none() && !self.has_ended {
            let room = PLUGIN_SOCKET_READ_BYTES_MAX - self.input.len();
            if room == 0 {
                self.may_read = true;
                return;
            }
            let room = room.min(buffer.len());
            match self.io.read(&mut buffer[..room]) {
                Ok(0) => self.has_ended = true,
                Ok(len) => self.input.extend(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => drop(self.fail(&error)),
            }
        }
    }

    /// Whether all is written.
    pub fn flush(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            match self.io.write(self.output.as_slices().0) {
                Ok(len) => drop(self.output.drain(..len)),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.shrink_to(PLUGIN_SOCKET_BUFFER_BYTES);
        Ok(true)
    }

    /// The waits that are over: of a connection being made, of a write.
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
}
