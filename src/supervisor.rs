//! What the service manager hears of the daemon (sd_notify(3)): that it is ready, reloads, stops, and that its loop
//! turns. Where nobody asked to be told, nothing is. Decides nothing.

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::limits::NOTIFY_WAIT_MS;

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the loop turns.
    interval_ms: Option<u64>,
    next_ms: u64,
    /// It was told of a reload that has not ended.
    reloading: bool,
}

impl Supervisor {
    /// By `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. Errors: there is a socket, but not for us.
    pub fn from_environment() -> Result<Self, String> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Supervisor::default());
        };
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog_us = number("WATCHDOG_USEC").filter(|_| is_ours);
        Self::connect(&name, watchdog_us).map_err(|error| {
            let name = name.to_string_lossy();
            format!("NOTIFY_SOCKET {name}: {error}; expected the service manager's socket")
        })
    }

    fn connect(name: &OsStr, watchdog_us: Option<u64>) -> std::io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that stands still must not stop the loop too.
        socket.set_write_timeout(Some(Duration::from_millis(NOTIFY_WAIT_MS)))?;
        Ok(Supervisor {
            socket: Some(socket),
            // Twice as often as asked: one that comes late is not missed.
            interval_ms: watchdog_us.map(|us| (us / 2_000).max(1)),
            next_ms: 0,
            reloading: false,
        })
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            // Nobody is there to be told of a failure.
            let _ = socket.send(state.as_bytes());
        }
    }

    /// Connections are taken; `status` is for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// A reload begins.
    pub fn reloading(&mut self) {
        let now = clock_gettime(ClockId::Monotonic);
        let us = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.reloading = true;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// It ended, well or not.
    pub fn reloaded(&mut self) {
        if std::mem::take(&mut self.reloading) {
            self.tell("READY=1");
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// The loop turns.
    pub fn handle_turn(&mut self, now_ms: u64) {
        if let Some(interval_ms) = self.interval_ms
            && now_ms >= self.next_ms
        {
            self.next_ms = now_ms + interval_ms;
            self.tell("WATCHDOG=1");
        }
    }

    /// When it has to turn though nothing happened, monotonic ms.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.interval_ms.map(|_| self.next_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    /// What came, message by message.
    fn heard(manager: &UnixDatagram) -> Vec<String> {
        manager.set_nonblocking(true).expect("set");
        let mut buffer = [0; 512];
        let messages = std::iter::from_fn(|| {
            let n = manager.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..n]).into_owned())
        });
        messages.collect()
    }

    #[test]
    fn a_manager_hears_of_every_state() {
        let dir = TestDir::new("supervisor");
        let path = dir.0.join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let mut told = Supervisor::connect(path.as_os_str(), None).expect("connected");
        told.ready("here");
        told.reloaded();
        told.handle_turn(1_000);
        assert_eq!(told.poll_timeout(), None);
        told.reloading();
        told.reloaded();
        told.stopping();
        let heard = heard(&manager);
        assert_eq!(heard.len(), 4, "{heard:?}");
        assert_eq!(heard[0], "READY=1\nSTATUS=here");
        let us = heard[1].strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(us.is_some_and(|us| us.parse::<u64>().is_ok_and(|us| us > 0)));
        assert_eq!(heard[2..], ["READY=1", "STOPPING=1\nSTATUS=stopping"]);
    }

    #[test]
    fn an_abstract_name_and_the_watchdogs_pace() {
        let name = format!("@jdserver-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("bound");
        let mut told = Supervisor::connect(OsStr::new(&name), Some(3_000_000)).expect("connected");
        for now_ms in [0, 1, 1_499, 1_500, 1_600, 9_000, 9_001] {
            told.handle_turn(now_ms);
        }
        assert_eq!(told.poll_timeout(), Some(10_500));
        assert_eq!(heard(&manager), ["WATCHDOG=1"; 3]);
    }

    #[test]
    fn nobody_is_told_where_nobody_asked() {
        let mut told = Supervisor::default();
        told.ready("here");
        told.reloading();
        told.reloaded();
        told.handle_turn(1);
        told.stopping();
        assert_eq!(told.poll_timeout(), None);
        assert!(Supervisor::connect(OsStr::new("/no/such/socket"), None).is_err());
    }

    #[test]
    fn a_manager_that_stands_still_stops_nobody() {
        let dir = TestDir::new("supervisor-full");
        let path = dir.0.join("notify");
        let _manager = UnixDatagram::bind(&path).expect("bound");
        let mut told = Supervisor::connect(path.as_os_str(), Some(2_000)).expect("connected");
        // More than the socket's queue takes.
        for now_ms in 0..30 {
            told.handle_turn(now_ms);
        }
    }
}
