// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compiles the frame that all peers share into this one, and names the version of the library.

fn main() {
    cc::Build::new()
        .file("../peer.c")
        .define("_GNU_SOURCE", None)
        .flag("-std=gnu11")
        .opt_level(3)
        .compile("peer");
    let lock = std::fs::read_to_string("Cargo.lock").expect("Cargo.lock");
    let version = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"iceoryx2\"\n"))
        .and_then(|package| package.split("version = \"").nth(1)?.split('"').next())
        .expect("iceoryx2 in Cargo.lock");
    println!("cargo:rustc-env=ICEORYX2_VERSION={version}");
    for file in ["../peer.c", "../peer.h", "../touch.h", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={file}");
    }
}
