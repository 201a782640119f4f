//! `recorder`: trains networks and records them.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
