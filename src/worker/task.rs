//! What workers do for coroutines of plugins, but for databases: calls of URLs, session files, names to addresses.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use crate::message::CallbackRequest;
use crate::message::database::SessionJob;
use crate::message::plugin::TaskOutcome;
use crate::worker::callback::Callbacks;
use crate::worker::resolver::Guard;
use crate::worker::session::{self, SessionLocks};

/// Calls a URL for a plugin: the whole answer.
pub fn fetch(callbacks: &Callbacks, request: CallbackRequest, timeout_ms: u64) -> TaskOutcome {
    let call = callbacks.fetch(&request, timeout_ms);
    TaskOutcome::Http {
        answer: call.outcome.map(|(status, body)| (status, body.into())),
        host: request.host,
        timed_out: call.timed_out,
        took_ms: call.took_ms,
    }
}

/// Reads or writes a session's file.
pub fn session(data_dir: &Path, locks: &SessionLocks, job: SessionJob) -> TaskOutcome {
    TaskOutcome::Session(session::run(data_dir, locks, job))
}

/// The first address of `host:port` that may be connected to.
pub fn resolve(guard: &Guard, address: &str) -> TaskOutcome {
    TaskOutcome::Resolved(first_address(guard, address))
}

fn first_address(guard: &Guard, address: &str) -> Result<SocketAddr, Box<str>> {
    let found = address
        .to_socket_addrs()
        .map_err(|error| format!("{address}: {error}; expected HOST:PORT"))?;
    let mut refused = None;
    for address in found {
        if guard.allows(address.ip()) {
            return Ok(address);
        }
        refused = Some(address.ip());
    }
    Err(match refused {
        Some(ip) => format!("address {ip} is not allowed (callback_allow, callback_deny)").into(),
        None => format!("{address}: name not found").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_allowed_address_is_taken() {
        let open = Guard::default();
        assert_eq!(
            first_address(&open, "127.0.0.1:80"),
            Ok(SocketAddr::from(([127, 0, 0, 1], 80)))
        );
        let closed = Guard {
            deny: vec!["127.0.0.0/8".parse().expect("a network")],
            ..Guard::default()
        };
        let error = first_address(&closed, "127.0.0.1:80").expect_err("denied");
        assert!(error.contains("not allowed"), "{error}");
        for wrong in [
            "",
            "127.0.0.1",
            "127.0.0.1:http:80",
            "no.such.name.invalid:1",
        ] {
            assert!(first_address(&open, wrong).is_err(), "{wrong}");
        }
    }
}
