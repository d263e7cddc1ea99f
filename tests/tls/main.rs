//! https and wss on the real binary: by rustls byte by byte, by curl and by openssl's client.
#![cfg(feature = "tls")]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod edges;
mod peer;
mod programs;
mod reload;

use std::fs;
use std::path::Path;

use common::server::{Server, Setup};
use peer::Pair;

/// A server with this certificate in `cert.pem` and `key.pem`: http and https on its first port, https alone on the
/// one that is given back.
#[track_caller]
fn start(pair: &Pair, settings: &str) -> (Server, u16) {
    start_beside(Server::setup(), pair, settings)
}

/// The same, with the files that are there.
#[track_caller]
fn start_beside(setup: Setup, pair: &Pair, settings: &str) -> (Server, u16) {
    let setup = setup.settings(&format!(
        "tls_cert = 'cert.pem'\ntls_key = 'key.pem'\n{settings}"
    ));
    write_pair(setup.folder(), pair);
    let server = setup
        .argument("--listen")
        .argument("tls:127.0.0.1:0")
        .start();
    let port = tls_port(&server);
    (server, port)
}

fn write_pair(folder: &Path, pair: &Pair) {
    fs::write(folder.join("cert.pem"), &pair.certificate).expect("written");
    fs::write(folder.join("key.pem"), &pair.key).expect("written");
}

/// The port that takes https alone.
#[track_caller]
fn tls_port(server: &Server) -> u16 {
    let port = |line: &str| {
        let rest = line.strip_prefix("jdserver: serving on https://127.0.0.1:")?;
        let port: u16 = rest.strip_suffix('/')?.parse().ok()?;
        (port != server.port()).then_some(port)
    };
    port(&server.line(|line| port(line).is_some())).expect("the line just found")
}
