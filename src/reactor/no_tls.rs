//! Takes the place of `tls` in a build without that feature: nothing of it can exist.

use std::io;

use mio::net::TcpStream;

use crate::proto::tls::TlsConfig;

/// None.
pub enum Acceptor {}

/// None.
#[derive(Debug)]
pub enum Tls {}

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

impl Acceptor {
    pub fn renew(_: &mut Option<Acceptor>, config: TlsConfig) {
        match config {}
    }

    pub fn accept(&self, _: bool) -> Tls {
        match *self {}
    }
}

impl Tls {
    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub fn has_session(&self) -> bool {
        match *self {}
    }

    pub fn listen(&mut self, _: &TcpStream) -> io::Result<Spoken> {
        match *self {}
    }

    pub fn takes_plain(&self) -> bool {
        match *self {}
    }

    pub fn read(&mut self, _: &mut TcpStream, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub fn write(&mut self, _: &mut TcpStream, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub fn handle_writable(&mut self, _: &mut TcpStream) -> io::Result<()> {
        match *self {}
    }

    pub fn shutdown_write(&mut self, _: &mut TcpStream) -> io::Result<()> {
        match *self {}
    }
}
