//! What the end-to-end tests and benchmarks share: the workspace's own binaries, built once, and
//! ways to run them that always end.

mod binaries;
mod command;

pub use binaries::{Binaries, binaries};
pub use command::{Finished, Running, TIMEOUT, run, spawn};

use std::path::PathBuf;

/// The workspace's root.
pub fn workspace_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
