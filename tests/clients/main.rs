//! The clients in `static/`, each in its own language against the real binary: `jdpush.js` in Node, `jdserver.php` in
//! PHP. Never a browser.

#[path = "../common/mod.rs"]
mod common;

mod node;
mod php;

/// A file of this repository.
fn file(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}
