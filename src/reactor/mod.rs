//! The reactor: one thread that owns all sockets and lends their bytes to [`crate::state`].
//! Never blocks but in `poll`, never touches a file beyond its own sockets, decides nothing.
//!
//! | module | what |
//! |---|---|
//! | [`inherited`] | sockets that a service manager opened |
//! | [`listener`] | sockets that accept: made, stale paths probed |
//! | [`socket`] | sockets that talk: TCP or Unix, plain or TLS, behind one name |
//! | `tls` | TLS on a connection |
//! | [`run`] | the loop |

pub mod inherited;
pub mod listener;
pub mod run;
pub mod socket;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub(crate) mod tls;

pub use inherited::inherited;
pub use listener::Listener;
pub use run::{Ports, Reactor};
