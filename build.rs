//! Says where the bundle's archive is, so that it can be embedded; without one an empty file is.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let arch = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => "arm64",
        _ => "amd64",
    };
    let archive = root.join(format!("images/out/linux-{arch}/bundle.tar.zst"));
    println!("cargo::rerun-if-changed={}", archive.display());
    let archive = if archive.exists() {
        archive
    } else {
        let empty = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("empty");
        fs::write(&empty, b"").expect("OUT_DIR is writable");
        empty
    };
    println!("cargo::rustc-env=K3C_BUNDLE_ARCHIVE={}", archive.display());
}
