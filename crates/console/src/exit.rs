//! How a process ends.

use std::process::ExitCode;

use anyhow::Result;

use crate::output::is_closed_pipe;
use crate::terminal::Console;

/// Exit status after Ctrl-C, as shells have it: 128 and the signal's number.
pub const INTERRUPTED: u8 = 130;

/// The same after SIGTERM.
pub const TERMINATED: u8 = 143;

/// What `main` returns: the status of what was done, or 1 after saying why it was not. Whoever read
/// the output, as `head`, may have had enough: that is no failure.
pub fn end(console: &Console, result: Result<ExitCode>) -> ExitCode {
    match result {
        Ok(status) => status,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            console.say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
