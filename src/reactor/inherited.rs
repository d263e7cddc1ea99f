//! Listening sockets that a service manager opened for us (sd_listen_fds(3)): as if we had bound them, but that a
//! Unix socket's path stays when we go.

use std::env;
use std::io::{self, ErrorKind};

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use socket2::SockRef;

use crate::reactor::Listener;
use crate::reactor::listener::set_options;

/// Those there are, in order; none without `LISTEN_FDS`. One that is named `tls` takes TLS alone.
/// Errors: one line; something is there that is no listening TCP or Unix socket.
pub fn inherited() -> Result<Vec<Listener>, String> {
    let mut sockets = ListenFd::from_env();
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    (0..sockets.len())
        .map(|at| {
            let name = names.next().unwrap_or_default();
            take(&mut sockets, at, name).map_err(|error| {
                format!(
                    "LISTEN_FDS: socket {at} ({name:?}): {error}; expected a listening TCP or Unix stream socket"
                )
            })
        })
        .collect()
}

fn take(sockets: &mut ListenFd, at: usize, name: &str) -> io::Result<Listener> {
    // A descriptor that is not what was asked for is left where it is.
    if let Ok(Some(listener)) = sockets.take_tcp_listener(at) {
        check_listens(SockRef::from(&listener))?;
        listener.set_nonblocking(true)?;
        set_options(SockRef::from(&listener))?;
        let listener = TcpListener::from_std(listener);
        return Ok(match name {
            "tls" => Listener::Tls(listener),
            _ => Listener::Tcp(listener),
        });
    }
    let listener = sockets.take_unix_listener(at)?.ok_or(ErrorKind::NotFound)?;
    check_listens(SockRef::from(&listener))?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Unix(UnixListener::from_std(listener), None))
}

fn check_listens(socket: SockRef<'_>) -> io::Result<()> {
    match socket.is_listener()? {
        true => Ok(()),
        false => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it does not listen",
        )),
    }
}
