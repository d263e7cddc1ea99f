//! Sockets of plugins: TCP and UDP, listening or connected, each read and written by coroutines that wait here.
//! Knows bytes and who waits, never Lua. What one connection does is in `stream`.

mod stream;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use slab::Slab;

use crate::limits::{
    PLUGIN_DATAGRAM_BYTES_MAX, PLUGIN_SOCKET_BUFFER_BYTES, PLUGIN_SOCKET_EVENTS_PER_TURN,
    PLUGIN_SOCKETS_HELD_BYTES_MAX,
};
use crate::message::plugin::TaskId;
use stream::{Means, Stream};

pub use stream::{Outcome, Want};

/// A socket: its key and a number of its own, for keys are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    key: u32,
    serial: u32,
}

impl SocketId {
    /// As Lua holds it.
    pub fn to_number(self) -> u64 {
        u64::from(self.serial) << 32 | u64::from(self.key)
    }

    /// Of what Lua holds; any number names at most a socket that is not there.
    pub fn from_number(number: u64) -> Self {
        SocketId {
            key: number as u32,
            serial: (number >> 32) as u32,
        }
    }
}

/// Something that happened.
#[derive(Debug)]
pub enum SocketEvent {
    /// A wait is over.
    Over(TaskId, Outcome),
    /// A listener took a connection.
    Accepted {
        /// Who listens.
        listener: SocketId,
        /// The connection.
        socket: SocketId,
        /// The other end.
        peer: SocketAddr,
    },
    /// A datagram came.
    Datagram {
        /// Who received it.
        socket: SocketId,
        /// Its sender.
        peer: SocketAddr,
        /// Its content.
        data: Vec<u8>,
    },
}

/// All sockets of the plugin thread.
#[derive(Debug)]
pub struct Sockets {
    registry: Registry,
    sockets_max: usize,
    sockets: Slab<Socket>,
    serials: u32,
    events: VecDeque<SocketEvent>,
    /// Listeners and UDP sockets that may have more, though no edge will come.
    ready: VecDeque<SocketId>,
    /// Listeners that found no descriptor left.
    starved: Vec<SocketId>,
    buffer: Box<[u8]>,
    /// Bytes that all connections keep.
    held: usize,
}

#[derive(Debug)]
struct Socket {
    serial: u32,
    /// The state of plugins that it belongs to.
    owner: u64,
    /// It is on the list of those that may have more.
    is_ready: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Listener(TcpListener),
    Udp(UdpSocket),
    Stream(Box<Stream>),
}

impl Sockets {
    /// None yet, at most `sockets_max`; `registry` reports them under tokens that no one else has.
    pub fn new(registry: Registry, sockets_max: usize) -> Self {
        Sockets {
            registry,
            sockets_max,
            sockets: Slab::new(),
            serials: 0,
            events: VecDeque::new(),
            ready: VecDeque::new(),
            starved: Vec::new(),
            buffer: Box::default(),
            held: 0,
        }
    }

    /// Listens. Errors: one line.
    pub fn listen_tcp(&mut self, owner: u64, address: SocketAddr) -> Result<SocketId, String> {
        let bound = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
        self.insert(owner, Kind::Listener(bound), Interest::READABLE)
    }

    /// Receives datagrams. Errors: one line.
    pub fn listen_udp(&mut self, owner: u64, address: SocketAddr) -> Result<SocketId, String> {
        let bound = UdpSocket::bind(address).map_err(|error| format!("{address}: {error}"))?;
        self.insert(owner, Kind::Udp(bound), Interest::READABLE)
    }

    /// Begins to connect; `task` waits for it. Errors: one line.
    pub fn connect(
        &mut self,
        owner: u64,
        address: SocketAddr,
        task: TaskId,
    ) -> Result<SocketId, String> {
        let io = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        let stream = Stream::new(io, Some(task));
        let both = Interest::READABLE | Interest::WRITABLE;
        self.insert(owner, Kind::Stream(Box::new(stream)), both)
    }

    fn insert(&mut self, owner: u64, kind: Kind, interest: Interest) -> Result<SocketId, String> {
        let sockets_max = self.sockets_max;
        if self.sockets.len() >= sockets_max {
            return Err(format!("more than {sockets_max} sockets of plugins"));
        }
        // Lua's integers have a sign: a number beyond would come back as another.
        self.serials = (self.serials + 1) & (u32::MAX >> 1);
        let serial = self.serials;
        let entry = self.sockets.vacant_entry();
        let key = entry.key() as u32;
        let token = Token((serial as usize) << 32 | key as usize);
        let socket = entry.insert(Socket {
            serial,
            owner,
            is_ready: false,
            kind,
        });
        let registered = match &mut socket.kind {
            Kind::Listener(io) => self.registry.register(io, token, interest),
            Kind::Udp(io) => self.registry.register(io, token, interest),
            Kind::Stream(stream) => self.registry.register(&mut stream.io, token, interest),
        };
        if let Err(error) = registered {
            self.sockets.remove(key as usize);
            return Err(error.to_string());
        }
        Ok(SocketId { key, serial })
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// The address that a socket is bound to.
    pub fn local_address(&self, id: SocketId) -> Option<SocketAddr> {
        match &self.get(id)?.kind {
            Kind::Listener(io) => io.local_addr().ok(),
            Kind::Udp(io) => io.local_addr().ok(),
            Kind::Stream(stream) => stream.io.local_addr().ok(),
        }
    }

    /// Whether a socket belongs to that state of plugins.
    pub fn is_of(&self, id: SocketId, owner: u64) -> bool {
        self.get(id).is_some_and(|socket| socket.owner == owner)
    }

    /// Reads: at once, or `None` and `task` waits. Errors are outcomes.
    pub fn read(&mut self, id: SocketId, want: Want, task: TaskId) -> Option<Outcome> {
        self.with_stream(id, |stream, means| stream.read(want, task, means))
            .unwrap_or_else(|| Some(closed()))
    }

    /// Writes: `None` and `task` waits until all of it is taken by the system.
    pub fn write(&mut self, id: SocketId, data: &[u8], task: TaskId) -> Option<Outcome> {
        self.with_stream(id, |stream, means| stream.write(data, task, means.room))
            .unwrap_or_else(|| Some(closed()))
    }

    /// Sends a datagram. Errors: one line; a full queue of the system drops it, as networks do.
    pub fn send_to(&mut self, id: SocketId, data: &[u8], peer: SocketAddr) -> Result<(), String> {
        match self.get(id).map(|socket| &socket.kind) {
            Some(Kind::Udp(io)) => match io.send_to(data, peer) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.to_string()),
                _ => Ok(()),
            },
            _ => Err("the socket is closed".to_owned()),
        }
    }

    /// Ends what a coroutine waits for: its time is over.
    pub fn forget(&mut self, id: SocketId, task: TaskId) {
        self.with_stream(id, |stream, _| stream.forget(task));
    }

    /// Closes one; whoever waits for it is told.
    pub fn close(&mut self, id: SocketId) {
        if self.get(id).is_none() {
            return;
        }
        self.with_stream(id, |stream, means| stream.settle(means.buffer));
        let mut socket = self.sockets.remove(id.key as usize);
        let _ = match &mut socket.kind {
            Kind::Listener(io) => self.registry.deregister(io),
            Kind::Udp(io) => self.registry.deregister(io),
            Kind::Stream(stream) => self.registry.deregister(&mut stream.io),
        };
        if let Kind::Stream(stream) = socket.kind {
            self.held -= stream.held();
            let told = stream.waiting();
            self.events
                .extend(told.map(|task| SocketEvent::Over(task, closed())));
        }
    }

    /// Closes all of one state of plugins.
    pub fn close_all(&mut self, owner: u64) {
        let ids = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.owner == owner);
        let ids: Vec<SocketId> = ids
            .map(|(key, socket)| SocketId {
                key: key as u32,
                serial: socket.serial,
            })
            .collect();
        for id in ids {
            self.close(id);
        }
    }

    /// Hands a listener or UDP socket over to another state of plugins.
    pub fn give(&mut self, id: SocketId, owner: u64) {
        if let Some(socket) = self.get_mut(id) {
            socket.owner = owner;
        }
    }

    /// Takes an event of the registry.
    pub fn handle_event(&mut self, event: &Event) {
        let token = event.token().0;
        let id = SocketId {
            key: token as u32,
            serial: (token >> 32) as u32,
        };
        match self.get_mut(id).map(|socket| &socket.kind) {
            None => {}
            Some(Kind::Listener(_) | Kind::Udp(_)) => self.make_ready(id),
            Some(Kind::Stream(_)) => {
                let over = self.with_stream(id, |stream, means| {
                    let [connected, written] = match event.is_writable() || event.is_error() {
                        true => stream.handle_writable(),
                        false => [None, None],
                    };
                    let read =
                        match event.is_readable() || event.is_read_closed() || event.is_error() {
                            true => stream.handle_readable(means),
                            false => None,
                        };
                    [connected, written, read]
                });
                let over = over.into_iter().flatten().flatten();
                let over = over.map(|(task, outcome)| SocketEvent::Over(task, outcome));
                self.events.extend(over);
            }
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<SocketEvent> {
        self.events.pop_front()
    }

    /// Whether there is something to do though no event comes.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty() || !self.events.is_empty()
    }

    /// Whether a listener waits for descriptors, of whose return no event tells.
    pub fn is_starved(&self) -> bool {
        !self.starved.is_empty()
    }

    /// Lets those that wait for descriptors try again.
    pub fn retry(&mut self) {
        for id in std::mem::take(&mut self.starved) {
            self.make_ready(id);
        }
    }

    /// Accepts and receives what listeners and UDP sockets have, a turn's share of it.
    pub fn go_on(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else {
                return;
            };
            if let Some(socket) = self.get_mut(id) {
                socket.is_ready = false;
            }
            let mut left = PLUGIN_SOCKET_EVENTS_PER_TURN;
            loop {
                match self.accept_or_receive(id).map_err(|error| error.kind()) {
                    Err(ErrorKind::WouldBlock) => break,
                    _ if left == 0 => {
                        self.make_ready(id);
                        break;
                    }
                    // A peer that gave up, or an answer to a datagram that could not be delivered.
                    Ok(())
                    | Err(
                        ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::ConnectionReset
                        | ErrorKind::Interrupted,
                    ) => left -= 1,
                    Err(_) => {
                        self.starved.push(id);
                        break;
                    }
                }
            }
        }
    }

    fn accept_or_receive(&mut self, id: SocketId) -> io::Result<()> {
        let gone = || io::Error::from(ErrorKind::WouldBlock);
        let socket = self.get(id).ok_or_else(gone)?;
        let owner = socket.owner;
        match &socket.kind {
            Kind::Stream(_) => Err(gone()),
            Kind::Listener(io) => {
                let (stream, peer) = io.accept()?;
                let stream = Box::new(Stream::new(stream, None));
                let both = Interest::READABLE | Interest::WRITABLE;
                // Beyond the bound it is closed at once.
                if let Ok(socket) = self.insert(owner, Kind::Stream(stream), both) {
                    let listener = id;
                    self.events.push_back(SocketEvent::Accepted {
                        listener,
                        socket,
                        peer,
                    });
                }
                Ok(())
            }
            Kind::Udp(_) => {
                let mut buffer = self.take_buffer();
                let received = match self.get(id).map(|socket| &socket.kind) {
                    Some(Kind::Udp(io)) => io.recv_from(&mut buffer[..PLUGIN_DATAGRAM_BYTES_MAX]),
                    _ => Err(gone()),
                };
                if let Ok((len, peer)) = received {
                    self.events.push_back(SocketEvent::Datagram {
                        socket: id,
                        peer,
                        data: buffer[..len].to_vec(),
                    });
                }
                self.buffer = buffer;
                received.map(drop)
            }
        }
    }

    /// Puts a listener or UDP socket on the list, once.
    fn make_ready(&mut self, id: SocketId) {
        if let Some(socket) = self.get_mut(id)
            && !std::mem::replace(&mut socket.is_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    /// Looks at a connection, and counts what it holds afterwards.
    fn with_stream<R>(
        &mut self,
        id: SocketId,
        look: impl FnOnce(&mut Stream, Means<'_>) -> R,
    ) -> Option<R> {
        let mut buffer = self.take_buffer();
        let room = PLUGIN_SOCKETS_HELD_BYTES_MAX.saturating_sub(self.held);
        let looked = self.stream(id).map(|stream| {
            let before = stream.held();
            let means = Means {
                buffer: &mut buffer,
                room,
            };
            let result = look(stream, means);
            (result, before, stream.held())
        });
        self.buffer = buffer;
        let (result, before, after) = looked?;
        self.held = self.held - before + after;
        Some(result)
    }

    /// The buffer of all, made at its first use.
    fn take_buffer(&mut self) -> Box<[u8]> {
        let buffer = std::mem::take(&mut self.buffer);
        match buffer.is_empty() {
            true => vec![0; PLUGIN_SOCKET_BUFFER_BYTES].into(),
            false => buffer,
        }
    }

    fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets
            .get(id.key as usize)
            .filter(|socket| socket.serial == id.serial)
    }

    fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets
            .get_mut(id.key as usize)
            .filter(|socket| socket.serial == id.serial)
    }

    fn stream(&mut self, id: SocketId) -> Option<&mut Stream> {
        match &mut self.get_mut(id)?.kind {
            Kind::Stream(stream) => Some(stream),
            _ => None,
        }
    }
}

fn closed() -> Outcome {
    Outcome::Failed("the socket is closed".to_owned())
}

#[cfg(test)]
mod tests;
