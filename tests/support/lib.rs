//! What the end-to-end tests and benchmarks share: the workspace's own binaries, built once, and
//! ways to run them that always end.

mod binaries;
mod browser;
mod command;
mod python;
mod scratch;
mod worker;

pub use binaries::{Binaries, binaries, extension};
pub use browser::Browser;
pub use command::{Finished, Running, TIMEOUT, peak_memory_kib, run, spawn, wait_until};
pub use python::{PYTHON_LIMIT, duckdb_1_5, python, python_package, python_with_torch};
pub use scratch::Scratch;
pub use worker::Worker;

use std::io::Write as _;
use std::path::PathBuf;

/// The workspace's root. Cargo tells it when it runs a test: what it told when this was compiled may
/// be another clone, whose build directory was taken over.
pub fn workspace_root() -> PathBuf {
    let told = std::env::var_os("CARGO_MANIFEST_DIR");
    told.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Says something that a test runner does not swallow, as why a test proves nothing here.
pub fn announce(line: &str) {
    // Nobody is left to be told if this fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}
