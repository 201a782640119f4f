//! The verbs that need no framework, as functions over parsed arguments: `import` and `export`; and what
//! other verbs of a recorder share with them.

mod epoch;
mod export;
mod import;
mod next;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use console::{Console, INTERRUPTED, on_ctrl_c};

use crate::cancel::CancelToken;

pub use epoch::{ChosenEpoch, HELP as EPOCH_HELP};
pub use export::{ExportArgs, run as export};
pub use import::{ImportArgs, run as import};
pub use next::{QUERY, write as write_next_steps};

/// How a verb ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its result, to be printed.
    pub text: String,
    /// Whether it was cancelled before its end.
    pub is_interrupted: bool,
}

impl Outcome {
    /// Prints the result, and says what the process ends with: 0, or 130 after Ctrl-C.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub fn end(&self) -> Result<ExitCode> {
        console::print(&self.text).context("cannot write to stdout")?;
        Ok(match self.is_interrupted {
            true => ExitCode::from(INTERRUPTED),
            false => ExitCode::SUCCESS,
        })
    }
}

/// From now on Ctrl-C asks what runs to stop; a second one stops the process at once.
///
/// # Errors
/// If somebody listens already, or the operating system refuses.
pub fn stop_on_ctrl_c(cancel: CancelToken, console: Console) -> Result<()> {
    on_ctrl_c(move || {
        if cancel.cancel() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        console.say("stopping: publishing what was captured (Ctrl-C again stops at once)");
    })
}
