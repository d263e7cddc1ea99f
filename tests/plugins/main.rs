//! Plugins in the real binary: the ones in folders beside this file, and reloads of others.
//!
//! [`calls`] what they answer; [`events`] what they handle; [`reload`] how they change; [`safety`] what they try in vain;
//! [`sockets`] what they serve; [`mqtt`] one of them, with clients of others.

#![cfg(feature = "lua")]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod events;
mod mqtt;
mod reload;
mod safety;
mod sockets;

use common::server::Server;

/// A server with the plugins of `shop/`.
#[track_caller]
fn shop() -> Server {
    Server::setup()
        .file("api.lua", include_str!("shop/api.lua"))
        .file(
            "jdserver.d/10-events.lua",
            include_str!("shop/jdserver.d/10-events.lua"),
        )
        .file(
            "jdserver.d/lib/money.lua",
            include_str!("shop/jdserver.d/lib/money.lua"),
        )
        .start()
}
