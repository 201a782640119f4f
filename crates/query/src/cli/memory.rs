//! How much memory queries may hold, and where they spill to.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use bytesize::ByteSize;
use clap::Args;
use sql::{SessionOptions, default_memory};

#[derive(Args)]
pub struct MemoryArgs {
    /// Memory that queries may hold before they spill to disk, as 64MiB; by default three quarters
    /// of what is available
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
}

impl MemoryArgs {
    pub(super) fn session_options(&self) -> SessionOptions {
        let given = self.memory.map(|size| size.as_u64());
        let given = given.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        SessionOptions {
            memory_bytes: given.or_else(default_memory),
            spill_dir: spill_dir(),
            ..SessionOptions::default()
        }
    }
}

/// Where this process spills to. A process that is interrupted drops nothing, so that it is known
/// here what has to go.
static SPILL_DIR: OnceLock<Option<PathBuf>> = OnceLock::new();

fn spill_dir() -> Option<PathBuf> {
    let dir = SPILL_DIR.get_or_init(|| {
        let dir = tempfile::Builder::new()
            .prefix("stratigraph-query-")
            .tempdir();
        // Without one, a query that has to spill says so.
        Some(dir.ok()?.keep())
    });
    dir.clone()
}

/// Removes what was spilled, as the last thing that the process does.
pub(super) fn remove_spilled() {
    // If there is none, there will be none.
    let Some(dir) = SPILL_DIR.get_or_init(|| None) else {
        return;
    };
    // What still computes may put a file there, or take one away, meanwhile.
    let removed = fs::remove_dir_all(dir).or_else(|_| fs::remove_dir_all(dir));
    if let Err(error) = removed
        && dir.exists()
    {
        tracing::warn!(path = %dir.display(), %error, "spilled files are left");
    }
}
