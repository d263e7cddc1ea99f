//! Which addresses and certificates callbacks accept, changed while the daemon runs: SIGHUP, `reload`, `conf`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use crate::common::server::Server;
use crate::common::wait_for;
use crate::data;
use crate::sink::Sink;

/// What `trace.log` says of the callback to that URL.
#[track_caller]
fn outcome(server: &Server, url: &str) -> String {
    data(server, "/setTimeout", json!({"url": url}));
    let exec = server.line_in("trace.log", |line| line.contains(&format!("({url}")));
    let name = exec
        .split("] ")
        .nth(2)
        .and_then(|text| text.split(' ').next())
        .expect("a timer's name")
        .to_owned();
    let line = server.line_in("trace.log", |line| {
        let is_end = line.contains(" ret: ") || line.contains(" fails: ");
        line.contains(&format!("] {name} ")) && is_end
    });
    line.split_once(&format!("{name} "))
        .map(|(_, text)| text.trim_start().to_owned())
        .expect("text behind the name")
}

/// Changes the settings file and has it read, by a signal whose effect comes in its own time.
fn reload_by_signal(server: &Server, settings: &str, is_there: impl Fn(usize) -> bool) {
    fs::write(server.folder().join("jdserver.toml"), settings).expect("settings");
    server.signal("HUP");
    let mut tries = 0;
    wait_for(settings, || {
        tries += 1;
        is_there(tries).then_some(())
    });
}

#[test]
fn allowed_and_denied_addresses_follow_a_signal() {
    let sink = Sink::start();
    let server = Server::configured("callback_deny = [\"127.0.0.0/8\"]\n");
    let url = |name: &str| format!("{}/{name}", sink.url);
    let denied = "fails: address 127.0.0.1 is not allowed (callback_allow, callback_deny)";
    assert!(outcome(&server, &url("first")).starts_with(denied));
    let mut round = 0;
    let mut becomes = |settings: &str, wanted: &str| {
        round += 1;
        reload_by_signal(&server, settings, |tries| {
            outcome(&server, &url(&format!("{round}-{tries}/"))).starts_with(wanted)
        });
    };
    becomes("callback_deny = [\"10.0.0.0/8\"]\n", "ret: sink-ok");
    becomes("callback_allow = [\"10.0.0.0/8\"]\n", denied);
    becomes("callback_allow = [\"127.0.0.1\"]\n", "ret: sink-ok");
    becomes(
        "callback_allow = [\"127.0.0.1\"]\ncallback_deny = [\"127.0.0.1\"]\n",
        denied,
    );
    becomes("", "ret: sink-ok");
    // A broken file changes nothing, by a call the same.
    fs::write(
        server.folder().join("jdserver.toml"),
        "callback_deny = [\"127.0.0\"]\n",
    )
    .expect("settings");
    assert_ne!(crate::call(&server, "/reload", Value::Null)[0], 0);
    assert!(outcome(&server, &url("last")).starts_with("ret: sink-ok"));
}

#[test]
fn self_signed_certificates_pass_once_told() {
    let url = format!("https://127.0.0.1:{}", tls_server());
    let server = Server::configured("");
    let refused = "fails: TLS: invalid peer certificate";
    assert!(outcome(&server, &format!("{url}/first")).starts_with(refused));
    reload_by_signal(&server, "callback_insecure = true\n", |tries| {
        outcome(&server, &format!("{url}/hup-{tries}/")).starts_with("ret: tls-ok")
    });
    // Set at run time it counts at once, from the answer on.
    data(&server, "/conf?conf_callback_insecure=0", Value::Null);
    assert!(outcome(&server, &format!("{url}/conf")).starts_with(refused));
    data(&server, "/reload", Value::Null);
    assert!(outcome(&server, &format!("{url}/reload")).starts_with("ret: tls-ok"));
}

/// A TLS server with a certificate that nobody signed; its thread ends with the test process.
fn tls_server() -> u16 {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("a key that fits");
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("TLS");
            thread::spawn(move || {
                let mut reader = BufReader::new(rustls::StreamOwned::new(tls, stream));
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                    if line == "\r\n" {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntls-ok";
                        if reader.get_mut().write_all(answer).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    port
}
