//! Contract 2 and RFC 6455 and 7692 against the real binary. Never the way there: that is
//! `http::upgrades`; never the texts of calls: those are `compat`.
//!
//! [`frames`] what a conversation is made of, [`violations`] how rules are enforced, [`closing`]
//! both ways to end, [`deflate`] compression, [`delivery`] order and slow receivers, [`access`]
//! tokens, origins and proxies, [`lifecycle`] pings, signals and logs, [`interop`] another client.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod closing;
mod deflate;
mod delivery;
mod frames;
mod interop;
mod lifecycle;
mod violations;

use common::server::Server;
use common::websocket::Ws;

/// A server with its echo endpoint.
#[track_caller]
fn echoing() -> Server {
    Server::setup().argument("--echo").start()
}

/// A connection that gets back what it sends.
#[track_caller]
fn echo(server: &Server) -> Ws {
    Ws::open_at(server, "/echo", "")
}
