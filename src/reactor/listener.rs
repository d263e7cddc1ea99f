//! Listening sockets. Made at start, so that what is wrong is told at start.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};

use crate::limits::{BACKLOG, KEEPALIVE_S};
use crate::reactor::socket::Socket;
use crate::reactor::tls::Acceptor;
use crate::settings::Listen;

/// Who may connect to a Unix socket, which takes the right to write.
const UNIX_MODE: u32 = 0o660;

/// A socket that accepts.
#[derive(Debug)]
pub enum Listener {
    /// On an address; plain HTTP, and TLS where there is a certificate.
    Tcp(TcpListener),
    /// On an address; TLS alone.
    Tls(TcpListener),
    /// On a path, which goes when the listener does; `None` where somebody else made it.
    Unix(UnixListener, Option<PathBuf>),
}

impl Listener {
    /// Binds. The error says what to do about it.
    pub fn bind(listen: &Listen) -> Result<Self, String> {
        let listener = match listen {
            Listen::Tcp(address) => bind_tcp(*address).map(Listener::Tcp),
            Listen::Tls(address) => bind_tcp(*address).map(Listener::Tls),
            Listen::Unix(path) => bind_unix(Path::new(path)),
        };
        listener.map_err(|error| {
            let remedy = match (listen, error.kind()) {
                (Listen::Unix(_), _) => "",
                (_, io::ErrorKind::AddrInUse) => {
                    "; another program listens there, choose another port with -p"
                }
                (_, io::ErrorKind::PermissionDenied) => "; ports below 1024 are for root",
                _ => "",
            };
            format!("cannot listen on {listen}: {error}{remedy}")
        })
    }

    /// Where it listens, as URLs or `unix:PATH`; `has_tls`: whether there is a certificate.
    pub fn places(&self, has_tls: bool) -> Vec<String> {
        let (listener, schemes) = match self {
            Listener::Tcp(listener) if has_tls => (listener, &["http", "https"][..]),
            Listener::Tcp(listener) => (listener, &["http"][..]),
            Listener::Tls(listener) => (listener, &["https"][..]),
            Listener::Unix(listener, _) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                let path = path.map_or("an unnamed socket".into(), Path::to_string_lossy);
                return vec![format!("unix:{path}")];
            }
        };
        match listener.local_addr() {
            Ok(address) => schemes
                .iter()
                .map(|scheme| format!("{scheme}://{address}/"))
                .collect(),
            Err(error) => vec![format!("an unknown address ({error})")],
        }
    }

    /// The path of a Unix socket that is ours.
    pub fn own_path(&self) -> Option<&Path> {
        match self {
            Listener::Unix(_, path) => path.as_deref(),
            _ => None,
        }
    }

    /// Takes the next connection and its address (`None` on a Unix socket).
    pub fn accept(&self, acceptor: Option<&Acceptor>) -> io::Result<(Socket, Option<IpAddr>)> {
        let (listener, takes_plain) = match self {
            Listener::Tcp(listener) => (listener, true),
            Listener::Tls(listener) => (listener, false),
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                return Ok((Socket::Unix(stream), None));
            }
        };
        let (stream, address) = listener.accept()?;
        let tls = acceptor.map(|acceptor| Box::new(acceptor.accept(takes_plain)));
        if tls.is_none() && !takes_plain {
            // A start without a certificate was refused, and a reload takes none away.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let address = address.ip().to_canonical();
        Ok((Socket::Tcp(stream, tls), Some(address)))
    }

    /// Registers for connections that come.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Listener::Tcp(listener) | Listener::Tls(listener) => listener,
            Listener::Unix(listener, _) => listener,
        };
        registry.register(source, token, Interest::READABLE)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, Some(path)) = self {
            let _ = fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can both be named.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    set_options(SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// What accepted sockets inherit (tcp(7)). Messages are small and written whole: waiting to fill a segment only
/// delays them. A peer that vanished without a word is found out by probes.
pub(super) fn set_options(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(KEEPALIVE_S))
        .with_interval(Duration::from_secs(KEEPALIVE_S / 4))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is there; name another path",
            ));
        }
        // Not to wait for a daemon whose queue is full: it is there all the same.
        let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let refused = matches!(probe.connect(&SockAddr::unix(path)?), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
        if !refused {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another program listens there",
            ));
        }
        fs::remove_file(path)?;
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Whatever the umask: for the daemon's user and group, so that a proxy of that group may connect.
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Unix(
        UnixListener::from_std(socket.into()),
        Some(path.to_owned()),
    ))
}
