//! Ctrl-C.

use anyhow::{Context as _, Result};

/// Does `act` whenever Ctrl-C is pressed, on a thread of its own; without it, Ctrl-C ends the process.
/// What ends it from there ends it with [`INTERRUPTED`](crate::INTERRUPTED).
///
/// # Errors
/// If somebody listens already, or the operating system refuses.
pub fn on_ctrl_c(act: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(act).context("cannot listen to Ctrl-C")
}
