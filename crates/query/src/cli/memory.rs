//! How much memory queries may hold, and where they spill to.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use bytesize::ByteSize;
use clap::Args;
use sql::SessionOptions;

#[derive(Args)]
pub(super) struct MemoryArgs {
    /// Memory that queries may hold before they spill to disk, as 64MiB; by default three quarters
    /// of what is available
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
}

impl MemoryArgs {
    pub(super) fn session_options(&self) -> SessionOptions {
        let bytes = self.memory.map(|size| size.as_u64()).or_else(|| {
            // Linux alone has the file; elsewhere there is no limit by default.
            let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
            default_bytes(&meminfo)
        });
        SessionOptions {
            memory_bytes: bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
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

/// Three quarters of what is available: the rest is for what queries do not account for.
fn default_bytes(meminfo: &str) -> Option<u64> {
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = available.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024) / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::default_bytes;

    #[test]
    fn a_quarter_of_what_is_available_is_left() {
        let meminfo = "MemTotal:       24000 kB\nMemFree:         1000 kB\n\
                       MemAvailable:    8000 kB\nBuffers:          100 kB\n";
        assert_eq!(default_bytes(meminfo), Some(6000 * 1024));
    }

    #[test]
    fn without_a_figure_there_is_no_limit() {
        assert_eq!(default_bytes("MemTotal:       24000 kB\n"), None);
        assert_eq!(default_bytes("MemAvailable:    plenty\n"), None);
    }
}
