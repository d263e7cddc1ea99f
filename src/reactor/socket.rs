//! A connected socket, TCP or Unix, plain or TLS, as the reactor reads and writes it. Never buffers, but for a record
//! of TLS each way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::reactor::tls::{Spoken, Tls};

/// One peer's socket. A plain one pays for TLS with a null pointer.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream, Option<Box<Tls>>),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Whether a read that gave less than there was room for has taken all there was.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Socket::Tcp(_, Some(_)))
    }

    /// Whether it may come to TLS, whose keys are not agreed on yet: reading it may cost a signature.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Socket::Tcp(_, Some(tls)) if tls.is_handshaking())
    }

    /// Whether its peer began to speak TLS.
    pub fn has_session(&self) -> bool {
        matches!(self, Socket::Tcp(_, Some(tls)) if tls.has_session())
    }

    /// The socket takes bytes again: what TLS holds back leaves.
    pub fn handle_writable(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream, Some(tls)) => tls.handle_writable(stream),
            _ => Ok(()),
        }
    }

    /// Ends our half.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream, None) => stream.shutdown(Shutdown::Write),
            Socket::Tcp(stream, Some(tls)) => tls.shutdown_write(stream),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Closes it. A peer of TLS learns that this is the end and not a cut, if its socket has room to say so.
    pub fn close(mut self) {
        if !self.is_plain() && !self.is_handshaking() {
            let _ = self.shutdown_write();
        }
    }

    /// Registers for both directions, edge-triggered; never again after that.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Socket::Tcp(stream, _) => stream,
            Socket::Unix(stream) => stream,
        };
        registry.register(source, token, Interest::READABLE | Interest::WRITABLE)
    }
}

/// Errors: `Unsupported`: the peer speaks plain HTTP where only TLS is taken; it can be told so from now on.
impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, None) => stream.read(buffer),
            Socket::Tcp(stream, tls @ Some(_)) => read_tls(stream, tls, buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

/// Apart, so that plain reads stay short.
#[inline(never)]
fn read_tls(
    stream: &mut TcpStream,
    tls: &mut Option<Box<Tls>>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let Some(session) = tls else {
        return stream.read(buffer);
    };
    match session.listen(stream)? {
        Spoken::Tls => session.read(stream, buffer),
        Spoken::Plain => {
            *tls = None;
            stream.read(buffer)
        }
        Spoken::Wrong => {
            *tls = None;
            Err(ErrorKind::Unsupported.into())
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, None) => stream.write(bytes),
            Socket::Tcp(stream, tls @ Some(_)) => write_tls(stream, tls, bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[inline(never)]
fn write_tls(
    stream: &mut TcpStream,
    tls: &mut Option<Box<Tls>>,
    bytes: &[u8],
) -> io::Result<usize> {
    match tls {
        Some(tls) if !tls.takes_plain() => tls.write(stream, bytes),
        // It was refused before it said a word.
        tls => {
            *tls = None;
            stream.write(bytes)
        }
    }
}
