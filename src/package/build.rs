//! The build script: how the binary is laid out (see `start.ld`), and what static binaries with glibc need beside
//! (see `static_names.c`).

use std::path::Path;
use std::process::Command;
use std::{env, fs};

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
    if target("ARCH") == "x86_64" && variable("PROFILE") == "release" {
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

/// Has the functions stand as `start.ld` says, and two things more that make a start touch less memory. Each only where
/// the linker that is used takes it, and the machine runs what comes of it: nothing else depends on them.
fn lay_out() {
    let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join("src/package/start.ld");
    let script = ["-T".to_owned(), script.display().to_string()];
    if runs_with(&script.each_ref().map(|arg| format!("-Clink-arg={arg}"))) {
        script.iter().for_each(link_arg);
    }
    let packed = "-Wl,-z,pack-relative-relocs";
    if runs_with(&[format!("-Clink-arg={packed}")]) {
        link_arg(packed);
    }
    // Before the shared unwinder, which is then not needed.
    let unwinder = "static:-bundle=gcc_eh";
    if runs_with(&[format!("-l{unwinder}")]) {
        println!("cargo:rustc-link-lib={unwinder}");
    }
}

/// Whether the linker makes a program with these arguments, and that runs here.
fn runs_with(args: &[String]) -> bool {
    let folder = variable("OUT_DIR");
    let (source, program) = (format!("{folder}/probe.rs"), format!("{folder}/probe"));
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--edition=2024", "-Copt-level=1", "--target"]);
    compiler.args([&variable("TARGET"), "-o", &program, &source]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        compiler
            .arg("-C")
            .arg(format!("linker={}", linker.display()));
    }
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    compiler.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    let is_made = fs::write(&source, "fn main() {}").is_ok()
        && compiler
            .args(args)
            .output()
            .is_ok_and(|made| made.status.success());
    is_made
        && Command::new(&program)
            .status()
            .is_ok_and(|end| end.success())
}
