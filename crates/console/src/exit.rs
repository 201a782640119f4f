//! How a process ends.

use std::process::ExitCode;

use anyhow::Result;

use crate::terminal::Console;

/// Exit status after Ctrl-C, as shells have it: 128 and the signal's number.
pub const INTERRUPTED: u8 = 130;

/// The same after SIGTERM.
pub const TERMINATED: u8 = 143;

/// What `main` returns: the status of what was done, or 1 after saying why it was not.
pub fn end(console: &Console, result: Result<ExitCode>) -> ExitCode {
    match result {
        Ok(status) => status,
        Err(error) => {
            console.say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
