//! The build script. It has something to do for static binaries with glibc only: see `static_names.c`.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=src/package/build.rs");
    println!("cargo:rerun-if-changed=src/package/static_names.c");
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let is_static = target("FEATURE")
        .split(',')
        .any(|name| name == "crt-static");
    if !is_static || target("ENV") != "gnu" {
        return;
    }
    let objects = cc::Build::new()
        .file("src/package/static_names.c")
        .compile_intermediates();
    // Not a library: nothing refers to it, so it would be left out.
    for object in objects {
        println!("cargo:rustc-link-arg-bins={}", object.display());
    }
}
