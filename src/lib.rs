//! jdserver: pushes messages to browsers and calls URLs back later. This file is the map.
//!
//! Imports go down only; modules on floor 3 never import each other. Below floor 3 there is no
//! socket, file, thread, channel or clock: time comes in as an argument.
//!
//! | floor | modules | what |
//! |---|---|---|
//! | 4 | `main`, [`daemon`], [`config`], [`install`] | arguments and settings become channels and threads; ordered stop; or files and a service of systemd |
//! | 3 | [`reactor`], [`timer`], [`disk`], [`worker`], `plugin`, [`account`], [`clock`], [`mailbox`], [`supervisor`], [`zone`] | the shells, one folder per kind of thread; who a name is; the one clock; how a thread that polls is reached; what the service manager hears; the time zone |
//! | 2 | [`state`] | every decision: connections, who is online, calls, queues |
//! | 1 | [`message`], [`call`], [`settings`] | what threads say to each other; the call protocol; what can be set |
//! | 0 | [`proto`], [`pages`], [`ids`], [`limits`] | bytes to facts and back; the pages in the binary |
//!
//! A push in one sitting: [`reactor`] reads bytes, [`proto::request`] finds a head, [`call`]
//! names it, [`state::hub`] selects connections, [`proto::websocket`] encodes one frame, each
//! receiver's [`proto::outbound`] takes a reference, and the reactor flushes.

pub mod account;
pub mod call;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod disk;
pub mod ids;
pub mod install;
pub mod limits;
pub mod mailbox;
pub mod message;
pub mod pages;
#[cfg(feature = "lua")]
pub mod plugin;
pub mod proto;
pub mod reactor;
pub mod settings;
pub mod state;
pub mod supervisor;
#[cfg(test)]
mod test_dir;
pub mod timer;
pub mod worker;
pub mod zone;
