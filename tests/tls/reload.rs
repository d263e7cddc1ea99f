//! A renewed certificate: taken for connections to come, none is lost, and a wrong one changes nothing.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::common::http::get;
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::peer::{self, Pair};
use crate::{start, write_pair};

const GET: &str = "GET /getUsers?app=b HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Whether a new connection shows this certificate.
fn shows(pair: &Pair, port: u16) -> bool {
    peer::open(port, &Arc::new(pair.client()))
        .offer(GET.as_bytes())
        .is_ok()
}

#[test]
fn a_reload_takes_the_new_pair_and_keeps_the_connections() {
    let (old, new) = (Pair::new(), Pair::new());
    let (server, port) = start(&old, "");
    let client = Arc::new(old.client());
    let mut ws = Ws::upgrade(peer::open(port, &client), "/", "").expect("upgraded");
    ws.init("a", "1");
    let mut kept = peer::open(server.port(), &client);
    assert_eq!(kept.ask(GET).status, 200);
    write_pair(server.folder(), &new);
    assert!(
        shows(&old, port) && !shows(&new, port),
        "not before it is told"
    );
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    for port in [port, server.port()] {
        assert!(shows(&new, port) && !shows(&old, port));
    }
    ws.send_text(r#"{"ac":"push","app":"a","user":"*","msg":"still here"}"#);
    assert_eq!(
        (ws.text().as_str(), ws.text().as_str()),
        ("still here", "1")
    );
    assert_eq!(kept.ask(GET).status, 200);
    // A session of before is taken up again.
    let mut resumed = peer::open(port, &client);
    assert_eq!(resumed.ask(GET).status, 200);
}

#[test]
fn a_wrong_pair_keeps_the_old_one_and_says_why() {
    let (old, new) = (Pair::new(), Pair::new());
    let (server, port) = start(&old, "");
    for (certificate, key, why) in [
        (
            &new.certificate,
            &old.key,
            "the key is not that of the certificate",
        ),
        (
            &String::new(),
            &old.key,
            "cert.pem: found no whole certificate",
        ),
        (
            &new.certificate,
            &new.certificate,
            "key.pem: found no whole private key",
        ),
    ] {
        fs::write(server.folder().join("cert.pem"), certificate).expect("written");
        fs::write(server.folder().join("key.pem"), key).expect("written");
        let said = get(&server, "/reload");
        assert!(said.starts_with("[4,") && said.contains(why), "{said}");
        assert!(shows(&old, port));
    }
    fs::remove_file(server.folder().join("key.pem")).expect("removed");
    server.signal("HUP");
    server
        .line(|line| line.contains("reload: tls_key: ") && line.ends_with("; nothing was changed"));
    write_pair(server.folder(), &new);
    server.signal("HUP");
    server.line(|line| line.ends_with("reload: done"));
    assert!(shows(&new, port));
}

#[test]
fn a_certificate_may_come_with_a_reload_and_stays() {
    let pair = Pair::new();
    let server = Server::configured("");
    write_pair(server.folder(), &pair);
    assert!(!shows(&pair, server.port()));
    let file = server.folder().join("jdserver.toml");
    fs::write(&file, "tls_cert = 'cert.pem'\ntls_key = 'key.pem'\n").expect("written");
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    assert!(shows(&pair, server.port()));
    fs::write(&file, "").expect("written");
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    assert!(shows(&pair, server.port()), "until the next start");
}

#[test]
fn a_start_without_a_usable_pair_is_refused() {
    let folder = crate::common::server::Folder::new();
    let pair = Pair::new();
    write_pair(&folder.0, &pair);
    for (settings, words) in [
        (
            "listen = ['tls:127.0.0.1:0']",
            "tls:127.0.0.1:0 needs a certificate; expected tls_cert",
        ),
        (
            "tls_key = 'key.pem'",
            "tls_key: there is no certificate to it",
        ),
        ("tls_cert = 'none.pem'", "none.pem: No such file"),
        (
            "tls_cert = 'cert.pem'",
            "cert.pem: found no whole private key",
        ),
    ] {
        fs::write(folder.0.join("jdserver.toml"), settings).expect("written");
        for options in [&["-t"][..], &[]] {
            let output = Command::new(env!("CARGO_BIN_EXE_jdserver"))
                .args(options)
                .current_dir(&folder.0)
                .stdin(Stdio::null())
                .output()
                .expect("the binary starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(words), "{options:?} {settings}: {said}");
        }
    }
}
