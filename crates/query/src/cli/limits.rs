//! How much a question may take: of memory, with where it spills to, and of time.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use sql::{SessionOptions, default_memory};

#[derive(Args)]
pub struct LimitArgs {
    /// Memory that queries may hold before they spill to disk, as 64MiB; by default three quarters
    /// of what is available
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Give a question up that has no answer after so long, as 90s, 5min or 2h (exit status 124); by default
    /// it is waited for
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

impl LimitArgs {
    /// How long a question may take.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

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

/// A time as people write it: a number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time above 0 as 500ms, 90s, 5min or 2h".to_owned();
    let end = text.find(|digit: char| !digit.is_ascii_digit() && digit != '.');
    let (number, unit) = text.split_at(end.ok_or_else(expected)?);
    let number: f64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(expected()),
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| expected())?;
    (!time.is_zero()).then_some(time).ok_or_else(expected)
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
    // What still computes may put a file there meanwhile, again and again, but not where it does not look.
    let away = dir.with_extension("removed");
    let dir = match fs::rename(dir, &away) {
        Ok(()) => &away,
        Err(_) => dir,
    };
    // It may be in the middle of that.
    let removed = fs::remove_dir_all(dir).or_else(|_| fs::remove_dir_all(dir));
    if let Err(error) = removed
        && dir.exists()
    {
        tracing::warn!(path = %dir.display(), %error, "spilled files are left");
    }
}

#[cfg(test)]
mod tests;
