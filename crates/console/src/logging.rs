//! The log, on standard error.

use std::env;

use tracing_subscriber::EnvFilter;

use crate::terminal::Console;

/// Starts the log of the process: warnings, with `-v` what is done, with `-vv` how. `RUST_LOG` has the
/// last word. Lines stand above the console's progress bar. Called once, at the start.
pub fn start_logging(verbose: u8, console: &Console) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // A file or a pipe keeps what a terminal would obey; <https://no-color.org> says how to ask for none.
    let is_coloured =
        console.is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let console = console.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_coloured)
        .with_writer(move || console.clone())
        .init();
}
