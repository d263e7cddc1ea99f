//! TLS on a connection: bytes of the socket become plain ones and back. Decides nothing and keeps no more than a
//! record each way.
//!
//! ```text
//! first byte ──► Fresh ──► Session: read_tls → process → reader      (read)
//!                  │                writer → write_tls                (write)
//!                  └─► plain HTTP, or an answer that says so
//! ```
//!
//! Edges: what a session holds decrypted brings no event, so a read is not over before `WouldBlock`, however short it
//! was. What it holds encrypted leaves with the next writable event ([`Tls::handle_writable`]), whether or not anyone
//! has more to write.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::crypto::ring::Ticketer;
use rustls::server::ProducesTickets;
use rustls::{ServerConfig, ServerConnection};

use crate::limits::{TLS_HANDSHAKE_BYTES_MAX, TLS_READS_MAX, TLS_RECORD_BYTES};
use crate::proto::tls::TlsConfig;

/// What new connections are greeted with.
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

/// The TLS side of a connection that has one, or may have.
pub enum Tls {
    /// No byte came yet. The first one tells: no HTTP method begins with that of a TLS record.
    Fresh {
        /// The certificate in force when it was accepted.
        config: Arc<ServerConfig>,
        /// Whether plain HTTP is welcome here too.
        takes_plain: bool,
    },
    /// It speaks TLS.
    Session(Box<Session>),
}

/// A TLS connection without its socket.
pub struct Session {
    connection: ServerConnection,
    /// Plain bytes that are encrypted but not yet all with the socket; nobody was told that they are written.
    owed: usize,
    handshake_bytes: usize,
    /// Our half ends behind what waits.
    shut: bool,
}

/// What the first byte told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// TLS.
    Tls,
    /// Plain HTTP, or nothing at all.
    Plain,
    /// Plain HTTP where only TLS is taken.
    Wrong,
}

/// The content type of a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

impl Acceptor {
    /// Goes by a new certificate, the first one too. Connections that are open keep theirs, and tickets that were given
    /// out are taken further on.
    pub fn renew(acceptor: &mut Option<Acceptor>, config: TlsConfig) {
        let TlsConfig(mut config) = config;
        config.ticketer = match acceptor {
            Some(before) => Arc::clone(&before.config.ticketer),
            None => ticketer(&config),
        };
        // The peer's tickets hold what a resumption needs.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        *acceptor = Some(Acceptor {
            config: Arc::new(*config),
        });
    }

    /// For a new connection.
    pub fn accept(&self, takes_plain: bool) -> Tls {
        Tls::Fresh {
            config: Arc::clone(&self.config),
            takes_plain,
        }
    }
}

/// Keys for tickets. Without randomness there are none, and nobody resumes.
fn ticketer(config: &ServerConfig) -> Arc<dyn ProducesTickets> {
    Ticketer::new().unwrap_or_else(|_| Arc::clone(&config.ticketer))
}

impl Tls {
    /// Whether the keys are not agreed on yet.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Tls::Fresh { .. } => true,
            Tls::Session(session) => session.connection.is_handshaking(),
        }
    }

    /// Whether the peer began to speak TLS.
    pub fn has_session(&self) -> bool {
        matches!(self, Tls::Session(_))
    }

    /// Looks at the first byte, where it was not seen yet. Errors: `WouldBlock` while there is none.
    pub fn listen(&mut self, stream: &TcpStream) -> io::Result<Spoken> {
        let Tls::Fresh {
            config,
            takes_plain,
        } = self
        else {
            return Ok(Spoken::Tls);
        };
        let mut first = [0];
        match stream.peek(&mut first)? {
            1 if first[0] == HANDSHAKE => {}
            1 if !*takes_plain => return Ok(Spoken::Wrong),
            _ => return Ok(Spoken::Plain),
        }
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        *self = Tls::Session(Box::new(Session {
            connection,
            owed: 0,
            handshake_bytes: 0,
            shut: false,
        }));
        Ok(Spoken::Tls)
    }

    /// Whether plain bytes may be written though the peer said nothing yet.
    pub fn takes_plain(&self) -> bool {
        matches!(
            self,
            Tls::Fresh {
                takes_plain: true,
                ..
            }
        )
    }

    /// Reads plain bytes; 0 is the peer's end, be it said or not: who needs to know that a message is whole has its
    /// length. Errors: `WouldBlock` only once all is read; `Interrupted`: read again, for others had to wait.
    pub fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Tls::Fresh { .. } => Err(ErrorKind::WouldBlock.into()),
            Tls::Session(session) => session.read(stream, buffer),
        }
    }

    /// Encrypts and sends some of `bytes`. After `WouldBlock` it must be called with the same bytes again, more may
    /// follow: they are encrypted, but not yet sent. Errors: `NotConnected` before the keys are agreed on.
    pub fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Tls::Fresh { .. } => Err(ErrorKind::NotConnected.into()),
            Tls::Session(session) => session.write(stream, bytes),
        }
    }

    /// The socket takes bytes again.
    pub fn handle_writable(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Tls::Fresh { .. } => Ok(()),
            Tls::Session(session) => session.flush(stream),
        }
    }

    /// Ends our half, behind what waits.
    pub fn shutdown_write(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Tls::Fresh { .. } => stream.shutdown(Shutdown::Write),
            Tls::Session(session) => {
                session.connection.send_close_notify();
                session.shut = true;
                session.flush(stream)
            }
        }
    }
}

impl Session {
    fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..TLS_READS_MAX {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            }
            let is_handshaking = self.connection.is_handshaking();
            let n = self.connection.read_tls(stream)?;
            if is_handshaking {
                self.handshake_bytes += n;
                if self.handshake_bytes > TLS_HANDSHAKE_BYTES_MAX {
                    return Err(ErrorKind::InvalidData.into());
                }
            }
            let outcome = self.connection.process_new_packets();
            // Its answers, or the alert that says what was wrong.
            self.flush(stream)?;
            outcome.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        Err(ErrorKind::Interrupted.into())
    }

    fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        if self.connection.is_handshaking() {
            return Err(ErrorKind::NotConnected.into());
        }
        if self.owed == 0 {
            self.send(stream)?;
            let record = &bytes[..bytes.len().min(TLS_RECORD_BYTES)];
            self.owed = self.connection.writer().write(record)?;
        }
        self.send(stream)?;
        Ok(std::mem::take(&mut self.owed))
    }

    /// Sends what the socket takes.
    fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        match self.send(stream) {
            Ok(()) if self.shut => stream.shutdown(Shutdown::Write),
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends all that is encrypted. Errors: `WouldBlock` when the socket took less.
    fn send(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// They hold keys: nothing of them is shown.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tls::Fresh { .. } => "Fresh",
            Tls::Session(_) => "Session",
        })
    }
}
