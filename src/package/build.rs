//! The build script: how the binary is laid out (see `start.ld`), and what static binaries with glibc need beside
//! (see `static_names.c`).

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=src/package");
    let is_static = target("FEATURE")
        .split(',')
        .any(|name| name == "crt-static");
    if target("ENV") != "gnu" {
        return;
    }
    if is_static {
        pin_names();
    }
    if target("ARCH") == "x86_64" && variable("PROFILE") == "release" && has_usual_linker() {
        lay_out();
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn target(name: &str) -> String {
    variable(&format!("CARGO_CFG_TARGET_{name}"))
}

fn link_arg(arg: impl std::fmt::Display) {
    println!("cargo:rustc-link-arg-bins={arg}");
}

fn pin_names() {
    let objects = cc::Build::new()
        .file("src/package/static_names.c")
        .compile_intermediates();
    // Not a library: nothing refers to it, so it would be left out.
    for object in objects {
        link_arg(object.display());
    }
}

/// Whether it is the linker that comes with Rust, or GNU ld; others do not read linker scripts.
fn has_usual_linker() -> bool {
    env::var_os("RUSTC_LINKER").is_none() && !variable("CARGO_ENCODED_RUSTFLAGS").contains("link")
}

fn lay_out() {
    if has_static_unwinder() {
        // Before the shared one, which is then not needed: 0.1 MB less at a start.
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
    link_arg("-T");
    link_arg(
        Path::new(&variable("CARGO_MANIFEST_DIR"))
            .join("src/package/start.ld")
            .display(),
    );
    // 0.35 MB less to read at a start, where the machine's own C library understands it.
    if variable("HOST") == variable("TARGET") && has_relative_relocations() {
        link_arg("-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the C compiler has its unwinder as an archive.
fn has_static_unwinder() -> bool {
    let mut compiler = cc::Build::new().get_compiler().to_command();
    let told = compiler.arg("-print-file-name=libgcc_eh.a").output();
    told.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_absolute())
}

/// Whether the C library of this machine is glibc 2.36 or later.
fn has_relative_relocations() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let text = text.unwrap_or_default();
    let version = text.trim().strip_prefix("glibc ").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    let version: (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    version >= (2, 36)
}
