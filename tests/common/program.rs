//! Programs that some tests need beside the daemon; `tests/install.sh` installs them. Where one is missing its tests
//! say so and pass, but never in CI.

use std::path::PathBuf;

/// Where a program is, or `None` after saying `skipped: …`. Fails when the environment variable `CI` is set.
#[track_caller]
pub fn program(name: &str) -> Option<PathBuf> {
    // Servers are in a folder that users' paths leave out.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let text = format!("skipped: no {name} here; tests/install.sh installs it");
        assert!(std::env::var_os("CI").is_none(), "{text}");
        eprintln!("{text}");
    }
    found
}
