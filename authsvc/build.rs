//! How the program is linked.
//!
//! Why it exists: the loader reads a list of all addresses in the program that depend on where it was put,
//! and these pages stay in memory. In its compact form (`DT_RELR`, glibc 2.36 and later) the list has a
//! hundredth of the size. It must not generate code.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
