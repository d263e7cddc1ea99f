//! The console over TLS in Chromium, which takes the daemon's certificate for the key in it, and no other.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, KeyPair, PublicKeyData, generate_simple_self_signed};
use ring::digest::{SHA256, digest};

use crate::common::http::push;
use crate::common::server::Server;
use crate::webdriver::Browser;

fn pair() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).expect("made")
}

/// As `--ignore-certificate-errors-spki-list` wants to have it.
fn fingerprint(pair: &CertifiedKey<KeyPair>) -> String {
    let key = pair.signing_key.subject_public_key_info();
    STANDARD.encode(digest(&SHA256, &key))
}

#[test]
fn https_and_wss() {
    let (first, second) = (pair(), pair());
    let trusted = format!(
        "--ignore-certificate-errors-spki-list={},{}",
        fingerprint(&first),
        fingerprint(&second)
    );
    let Some(browser) = Browser::with_arguments("en", &[&trusted]) else {
        return;
    };
    let setup = Server::setup().settings("tls_cert = 'cert.pem'\ntls_key = 'key.pem'\n");
    let folder = setup.folder().to_owned();
    let keep = |pair: &CertifiedKey<KeyPair>| {
        fs::write(folder.join("cert.pem"), pair.cert.pem()).expect("written");
        fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).expect("written");
    };
    keep(&first);
    let server = setup.start();
    let page = format!("https://localhost:{}/#app=app1&user=me", server.port());
    browser.open(&page);
    browser.shows("#live", "live");
    browser.shows("#state", "connected · app1 · me");
    assert_eq!(browser.script("return location.protocol"), "https:");
    browser.click("#sendForm button.main");
    browser.shows("#result", "1 took it");
    browser.click("#sendWs");
    browser.shows("#result", "WebSocket: 1 took it");

    // Another certificate: what is connected stays, and what comes next sees it.
    keep(&second);
    server.signal("HUP");
    browser.click("#tabLog");
    browser.shows("#lines", "reload: done");
    assert_eq!(push(&server, "app1", "me", "still+here"), 1);
    browser.click("#tabTry");
    browser.shows("#list", "still here");
    browser.open("about:blank");
    browser.open(&page);
    browser.shows("#state", "connected · app1 · me");
    assert_eq!(browser.complaints(), [""; 0], "the page's console");
}
